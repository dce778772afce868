import { tool } from 'ai';
import type { UIMessageChunk } from 'ai';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { AgentInput } from '../../src/agent/agent-input.ts';
import type { CallableAgent } from '../../src/agent/call/agent-call.ts';
import type { AgentResult } from '../../src/agent/run/agent-state.ts';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import type { Runtime } from '../../src/app/create-runtime.ts';
import type { JournalEvent } from '../../src/runtime/event.ts';
import type { Registrable } from '../../src/runtime/registrable.ts';
import type { Store } from '../../src/runtime/store.ts';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { foldMessage } from '../../src/streams/fold.ts';
import { killable } from '../support/killable.ts';
import { expectSilentConsole } from '../support/silent-console.ts';
import { normalize } from './observe.ts';
import { scriptedModel, startRuntime, until, userTexts } from './run-kit.ts';
import type { Answer, Prompt } from './run-kit.ts';

expectSilentConsole();

const runtimes: Runtime[] = [];

afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close({ graceMs: 0 })));
});

const calls = {
  count: { id: 'c1', name: 'count', input: {} },
  pay: { id: 'c2', name: 'pay', input: { amount: 5 } },
};

/** Answers by what the prompt holds, so that it does not matter which process asks. */
function answerTo(prompt: Prompt): Answer {
  const results = prompt.flatMap((message) => (message.role === 'tool' ? message.content : [])).length;
  if (userTexts(prompt).includes('Thanks')) return { text: 'You are welcome.' };
  if (results === 0) return { text: 'Counting. ', calls: [calls.count] };
  if (results === 1) return { text: 'Paying. ', reasoning: 'It is due.', calls: [calls.pay] };
  return { text: 'All done.' };
}

interface Process {
  runtime: Runtime;
  agent: Registrable<AgentInput<never>, AgentResult> & CallableAgent;
  asked: () => number;
}

interface Witness {
  counted: number;
  paid: number;
}

/** Says which user messages it was told. */
function talkTo(prompt: Prompt): Answer {
  return { text: `Heard ${userTexts(prompt).join(', ')}` };
}

function startProcess(store: Store, witness: Witness, works = true, answer = answerTo): Process {
  const script = scriptedModel(Array.from({ length: 50 }, () => answer));
  const tools = {
    count: tool({
      description: 'count',
      inputSchema: z.object({}),
      execute: () => ({ count: (witness.counted += 1) }),
    }),
    pay: tool({
      description: 'pay',
      inputSchema: z.object({ amount: z.number() }),
      execute: () => ({ paid: (witness.paid += 1) }),
    }),
  };
  const agent = new DurableAgent({ model: script.model, tools, toolApproval: { pay: 'user-approval' } });
  const runtime = startRuntime({
    store,
    agents: { support: agent },
    worker: works ? { leaseMs: 300, pollMs: 20, storeTimeoutMs: 250 } : false,
  });
  runtimes.push(runtime);
  return { runtime, agent, asked: () => script.prompts.length };
}

/** Starts the run if need be, approves what waits, and answers the result. */
async function drive({ runtime, agent }: Process): Promise<AgentResult> {
  const run = await runtime.start(agent, { id: 'run_1', prompt: 'Go', thread: 't' });
  await until(async () => {
    if (['completed', 'failed'].includes(await run.status)) return true;
    const [approval] = (await runtime.approvals.list()).items;
    if (approval === undefined) return false;
    await runtime.start(agent, { id: 'thanks', prompt: 'Thanks', thread: 't', whenBusy: 'steer' });
    await runtime.approvals.approve(approval.id, { by: 'user_7' });
    return true;
  });
  return run.result();
}

async function chunksOf(runtime: Runtime): Promise<UIMessageChunk[]> {
  const chunks: UIMessageChunk[] = [];
  for await (const chunk of runtime.getRun('run_1').stream<UIMessageChunk>()) chunks.push(chunk);
  return chunks;
}

async function chunkTypes(runtime: Runtime, follow: boolean): Promise<string[]> {
  const types: string[] = [];
  for await (const chunk of runtime.getRun('run_1').stream<UIMessageChunk>({ follow })) types.push(chunk.type);
  return types;
}

function expectWhole(result: AgentResult): void {
  expect(result.messages.map((message) => message.role)).toEqual([
    'assistant',
    'tool',
    'assistant',
    'tool',
    'tool',
    'assistant',
    'user',
    'assistant',
  ]);
  expect(result.text).toBe('You are welcome.');
  expect(result.turns).toBe(4);
}

const COMMITS = 16;

function journalOf(runtime: Runtime): Promise<JournalEvent[]> {
  return runtime.getRun('run_1').events();
}

/** What is recorded, by key: not that it took another life, nor where events of one moment stand. */
function factsOf(journal: JournalEvent[]): string[] {
  return journal
    .filter(({ type }) => type !== 'turn_failed' && type !== 'run_recovered')
    .map(({ type, key }) => `${type} ${key.replace(/apr_\w+/, 'apr')}`)
    .toSorted();
}

function missing(journal: JournalEvent[], call: string): number {
  return journal.some(({ type, key }) => type === 'tool_completed' && key.endsWith(`tool:${call}`)) ? 0 : 1;
}

describe('a process that dies', () => {
  let undisturbed: { result: AgentResult; journal: JournalEvent[] };
  beforeAll(async () => {
    const { store } = killable(memoryStore());
    const calm = startProcess(store, { counted: 0, paid: 0 });
    undisturbed = { result: await drive(calm), journal: await journalOf(calm.runtime) };
    await calm.runtime.close();
  });

  it.each(Array.from({ length: COMMITS }, (_, index) => index + 1))(
    'around commit %i changes nothing of the run',
    async (k) => {
      for (const fate of ['die before', 'die after'] as const) {
        const store = memoryStore();
        const witness = { counted: 0, paid: 0 };
        const first = killable(store, (commit) => (commit === k ? fate : 'go'));
        const died = startProcess(first.store, witness);
        const ended = drive(died).then(
          () => 'ended',
          () => 'ended',
        );
        await Promise.race([ended, until(() => first.commits() >= k)]);
        const recorded = await journalOf(startProcess(store, witness, false).runtime);
        const later = { counted: 0, paid: 0 };
        const second = startProcess(killable(store).store, later);
        const result = await drive(second);
        expectWhole(result);
        expect(normalize({ ...result })).toEqual(normalize({ ...undisturbed.result }));
        const journal = await journalOf(second.runtime);
        expect(journal.slice(0, recorded.length)).toEqual(recorded);
        expect(factsOf(journal)).toEqual(factsOf(undisturbed.journal));
        // What the dead process has recorded does not run again; the rest runs once.
        expect(later).toEqual({ counted: missing(recorded, 'c1'), paid: missing(recorded, 'c2') });
        const chunks = await chunksOf(second.runtime);
        const message = await foldMessage(chunks);
        expect(message?.parts.flatMap((part) => (part.type === 'text' ? [part.text] : []))).toEqual([
          'Counting. ',
          'Paying. ',
          'All done.',
          'You are welcome.',
        ]);
        expect(message).toEqual(result.uiMessage);
        expect(chunks.at(-1)?.type).toBe('finish');
        expect(chunks.filter((chunk) => chunk.type === 'start')).toHaveLength(1);
        await second.runtime.close();
        await died.runtime.close({ graceMs: 0 });
      }
    },
  );

  it.each([1, 2, 3, 4, 5, 6])(
    'after a user message came with commit %i loses nothing and asks nothing twice',
    async (j) => {
      for (const after of [1, 2, 3, 4]) {
        const store = memoryStore();
        const outside = startProcess(killable(store).store, { counted: 0, paid: 0 }, false);
        let sent: Promise<unknown> | undefined;
        const first = killable(store, (commit) => {
          if (commit === j)
            sent = outside.runtime.start(outside.agent, { id: 'two', prompt: 'Two', thread: 't', whenBusy: 'steer' });
          return commit === j + after ? 'die after' : 'go';
        });
        await outside.runtime.list();
        const died = startProcess(first.store, { counted: 0, paid: 0 }, true, talkTo);
        const run = await died.runtime.start(died.agent, { id: 'run_1', prompt: 'One', thread: 't' });
        const done = async () =>
          (await outside.runtime.getRun('run_1').status) === 'completed' && first.commits() < j + after;
        await until(async () => first.commits() >= j + after || (await done()));
        if (sent === undefined)
          await outside.runtime.start(outside.agent, { id: 'two', prompt: 'Two', thread: 't', whenBusy: 'steer' });
        await sent;
        const second = startProcess(killable(store).store, { counted: 0, paid: 0 }, true, talkTo);
        const results = [await second.runtime.getRun<AgentResult>(run.id).result()];
        if ((await second.runtime.list()).items.length > 1)
          results.push(await second.runtime.getRun<AgentResult>('two').result());
        const thread = await second.runtime.thread('t');
        const asked = thread.messages.filter(
          (message) => message.role === 'user' && JSON.stringify(message.content).includes('Two'),
        );
        expect(asked).toHaveLength(1);
        expect(results.at(-1)?.text).toBe('Heard One, Two');
        const texts = thread.uiMessages.flatMap((message) =>
          message.parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])),
        );
        expect(texts.filter((text) => text === 'Heard One, Two')).toHaveLength(1);
        for (const process of [second, outside, died]) await process.runtime.close({ graceMs: 0 });
      }
    },
  );

  it('in the middle of an answer leaves a row in the ledger for it', async () => {
    const store = memoryStore();
    const dying = killable(store);
    const held = { text: 'Half ', hold: new Promise<void>(() => {}) };
    const died = startProcess(dying.store, { counted: 0, paid: 0 }, true, () => held);
    const run = await died.runtime.start(died.agent, { id: 'run_1', prompt: 'One' });
    await until(async () => (await chunkTypes(died.runtime, false)).includes('text-delta'));
    dying.kill();
    const next = startProcess(store, { counted: 0, paid: 0 }, true, talkTo);
    await next.runtime.getRun(run.id).result();
    const { items } = await next.runtime.ledger({ run: run.id });
    expect(items.map((row) => [row.attempt, row.outcome, row.inputTokens])).toEqual([
      [1, 'unknown', null],
      [2, 'completed', 10],
    ]);
    expect(await chunkTypes(next.runtime, true)).toContain('reset-step');
  });

  it('dies within the commits of the sweep', async () => {
    const counted = killable(memoryStore());
    expectWhole(await drive(startProcess(counted.store, { counted: 0, paid: 0 })));
    expect(counted.commits()).toBeLessThanOrEqual(COMMITS);
    expect(counted.commits()).toBeGreaterThan(6);
  });
});
