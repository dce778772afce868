/** `fork('roles-process.ts', [json])`: one of several processes on one store, each with a part of its own in the life of a run. */
import { createOpenAI } from '@ai-sdk/openai';
import { tool } from 'ai';
import { createRuntime, DurableAgent, getToolMetadata } from 'everturn';
import type { AgentResult, Store } from 'everturn';
import { z } from 'zod';
import { openStore } from '../support/open-store.ts';
import { tellWitness } from '../support/witness.ts';

export interface RolesTask {
  store: string;
  modelUrl: string;
  witnessUrl: string;
  leaseMs: number;
  /** `freeze` works too, until it is about to record what its tool did: there it stops itself. */
  role: 'start' | 'work' | 'freeze' | 'read' | 'approve';
}

export type RolesMessage =
  | { kind: 'ready' | 'started' }
  /** The next thing that this process does is to stop. */
  | { kind: 'freezing' }
  | { kind: 'committed'; answer: string }
  | { kind: 'log'; code: unknown; message: string }
  | { kind: 'read'; text: string; chunks: number }
  | { kind: 'approved'; tool: string };

const RUN = 'run';
const task = JSON.parse(process.argv[2] ?? '') as RolesTask;
const tell = (message: RolesMessage): void => void process.send?.(message);
const acted = { done: false };

const cashier = new DurableAgent({
  model: createOpenAI({ baseURL: task.modelUrl, apiKey: 'local' })('gpt-5-mini'),
  tools: {
    pay: tool({
      description: 'Pays',
      inputSchema: z.object({}),
      execute: async () => {
        const { idempotencyKey: key, attempt, toolCallId } = getToolMetadata();
        const record = { key, attempt, tool: 'pay', toolCallId, pid: process.pid, time: Date.now() };
        await tellWitness(task.witnessUrl, record);
        acted.done = true;
        return 'Paid.';
      },
    }),
  },
  toolApproval: { pay: 'user-approval' },
});
const works = task.role === 'work' || task.role === 'freeze';
const keep = ({ code }: { code?: unknown }, message: string): void => tell({ kind: 'log', code, message });
const runtime = createRuntime({
  store: task.role === 'freeze' ? freezing(openStore(task.store)) : openStore(task.store),
  agents: { cashier },
  worker: works ? { leaseMs: task.leaseMs } : false,
  logger: { debug() {}, info() {}, warn: keep, error: keep },
});
const handle = runtime.getRun<AgentResult>(RUN);
switch (task.role) {
  case 'start':
    await runtime.start(cashier, { id: RUN, prompt: 'Please pay the bill.' });
    tell({ kind: 'started' });
    break;
  case 'read': {
    await runtime.list();
    tell({ kind: 'ready' });
    let chunks = 0;
    let text = '';
    for await (const chunk of handle.stream<{ type: string; delta?: string }>()) {
      chunks += 1;
      if (chunk.type === 'text-delta') text += chunk.delta ?? '';
    }
    tell({ kind: 'read', text, chunks });
    break;
  }
  case 'approve': {
    const { items } = await runtime.approvals.list();
    for (const { id, tool: name } of items) {
      await runtime.approvals.approve(id, { by: 'ada' });
      tell({ kind: 'approved', tool: name });
    }
    break;
  }
  case 'work':
  case 'freeze':
    await runtime.list();
    tell({ kind: 'ready' });
}
if (!works) {
  await runtime.close();
  process.disconnect();
}

function freezing(inner: Store): Store {
  return {
    ...inner,
    commit: async (batch) => {
      const records = acted.done && batch.some(({ events }) => events.length > 0);
      if (records) {
        acted.done = false;
        await new Promise<void>((resolve) => process.send?.({ kind: 'freezing' }, () => resolve()));
        process.kill(process.pid, 'SIGSTOP');
      }
      const answers = await inner.commit(batch);
      if (records) for (const { kind } of answers) tell({ kind: 'committed', answer: kind });
      return answers;
    },
  };
}
