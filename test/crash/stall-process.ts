/** `fork('stall-process.ts', [json])`: a run whose step, or whose tool, keeps the event loop busy for longer than the lease. */
import { createOpenAI } from '@ai-sdk/openai';
import { tool } from 'ai';
import { createRuntime, DurableAgent, getStepMetadata, getToolMetadata, step, workflow } from 'everturn';
import type { LogFields, Logger, Store } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { z } from 'zod';
import { tellWitness } from '../support/witness.ts';

export interface StallOptions {
  file: string;
  modelUrl: string;
  witnessUrl: string;
  leaseMs: number;
  busyMs: number;
  what: 'workflow' | 'agent';
  /** `start`: starts the run and ends after it. `help`: only takes over what falls due, until it is told to stop. */
  role: 'start' | 'help';
}

export type StallMessage =
  | { kind: 'ready' }
  | { kind: 'stalled'; at: number }
  | { kind: 'log'; level: string; fields: LogFields; message: string }
  | { kind: 'commit'; answer: string; at: number }
  | { kind: 'ended'; result: string };

const task = JSON.parse(process.argv[2] ?? '') as StallOptions;
const tell = (message: StallMessage): void => void process.send?.(message);

const act = (name: string): Promise<void> => {
  const { idempotencyKey: key, attempt } = getStepMetadata();
  return tellWitness(task.witnessUrl, { key, attempt, tool: name, toolCallId: '', pid: process.pid, time: Date.now() });
};

const actInTool = async (name: string): Promise<number> => {
  const { idempotencyKey: key, attempt, toolCallId } = getToolMetadata();
  await tellWitness(task.witnessUrl, { key, attempt, tool: name, toolCallId, pid: process.pid, time: Date.now() });
  return attempt;
};

/** Only the first attempt: who takes over is quick. */
function keepBusy(attempt: number): void {
  if (attempt > 1) return;
  const until = performance.now() + task.busyMs;
  while (performance.now() < until);
  tell({ kind: 'stalled', at: Date.now() });
}

const payThenStall = workflow('pay-then-stall', async () => {
  await step('pay', () => act('pay'));
  await step('crunch', async () => {
    await act('crunch');
    keepBusy(getStepMetadata().attempt);
  });
  await step('thank', () => act('thank'));
  return 'thanked';
});

const accountant = new DurableAgent({
  model: createOpenAI({ baseURL: task.modelUrl, apiKey: 'local' })('gpt-5-mini'),
  // One call after the other, so that the payment is recorded before the stall.
  toolCallConcurrency: 1,
  tools: {
    pay: tool({
      description: 'Pays',
      inputSchema: z.object({}),
      execute: () => actInTool('pay'),
    }),
    audit: tool({
      description: 'Audits',
      inputSchema: z.object({}),
      execute: async () => {
        keepBusy(await actInTool('audit'));
        return 'All is right.';
      },
    }),
  },
});

const runtime = createRuntime({
  store: watched(sqliteStore(task.file)),
  agents: { accountant },
  workflows: [payThenStall],
  worker: { leaseMs: task.leaseMs },
  logger: telling(),
});
if (task.role === 'help') {
  await runtime.list();
  tell({ kind: 'ready' });
  process.once('message', () => void leave());
} else {
  const run =
    task.what === 'workflow'
      ? await runtime.start(payThenStall, { id: 'run' })
      : await runtime.start(accountant, { id: 'run', prompt: 'Please pay and audit.' });
  const result = await run.result();
  tell({ kind: 'ended', result: typeof result === 'string' ? result : result.text });
  await leave();
}

async function leave(): Promise<void> {
  await runtime.close();
  process.disconnect();
}

function watched(inner: Store): Store {
  return {
    ...inner,
    commit: async (batch) => {
      const answers = await inner.commit(batch);
      for (const { kind } of answers) tell({ kind: 'commit', answer: kind, at: Date.now() });
      return answers;
    },
  };
}

function telling(): Logger {
  const at = (level: string) => (fields: LogFields, message: string) => {
    const { err: _err, ...rest } = fields;
    tell({ kind: 'log', level, fields: rest, message });
  };
  return { debug() {}, info() {}, warn: at('warn'), error: at('error') };
}
