/** Whatever happens to a run, the next message's history is accepted by servers as strict as OpenAI and Anthropic. */
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { tool } from 'ai';
import type { LanguageModel } from 'ai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { startModelServer } from '../../examples/model-server/server.ts';
import type { ModelServer, ModelServerOptions } from '../../examples/model-server/server.ts';
import type { AgentResult } from '../../src/agent/run/agent-state.ts';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import type { RunHandle } from '../../src/app/run-handle.ts';
import type { Runtime } from '../../src/app/create-runtime.ts';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { startAnthropicServer } from '../support/anthropic-server.ts';
import { killable } from '../support/killable.ts';
import { startRuntime, until } from './run-kit.ts';

const scenarios: ModelServerOptions['scenarios'] = [
  {
    name: 'work',
    matches: /work/,
    replies: [
      {
        text: 'I look at it and then I pay.',
        reasoning: 'Two tools.',
        toolCalls: [
          { name: 'look', arguments: {} },
          { name: 'pay', arguments: { amount: 5 } },
        ],
      },
      { text: 'One more look.', reasoning: 'To be sure.', toolCalls: [{ name: 'look', arguments: {} }] },
      { text: 'All of it is done now.' },
    ],
  },
  { name: 'after', matches: /and now/, replies: [{ text: 'Here I am.' }] },
];

/** Time-outs of the agent. */
interface Limits {
  toolMs?: number;
  wholeMs?: number;
}

interface Provider {
  name: string;
  start: (options: ModelServerOptions) => Promise<ModelServer>;
  model: (baseURL: string) => LanguageModel;
}

const providers: Provider[] = [
  { name: 'OpenAI', start: startModelServer, model: (baseURL) => createOpenAI({ baseURL, apiKey: 'local' })('gpt-5') },
  {
    name: 'Anthropic',
    start: startAnthropicServer,
    model: (baseURL) => createAnthropic({ baseURL, apiKey: 'local' })('claude-sonnet-4-5'),
  },
];

describe.each(providers)('the history that $name gets', ({ start, model }) => {
  let server: ModelServer;
  const runtimes: Runtime[] = [];

  beforeAll(async () => {
    server = await start({ pacingMs: 1, scenarios });
  });
  afterEach(async () => {
    await Promise.all(runtimes.splice(0).map((runtime) => runtime.close({ graceMs: 0 })));
  });
  afterAll(async () => {
    await server.close();
  });

  function process(store = memoryStore(), look: () => unknown = () => 'seen', limits: Limits = {}) {
    const tools = {
      look: tool({ description: 'look', inputSchema: z.object({}), execute: async () => look() }),
      pay: tool({ description: 'pay', inputSchema: z.object({ amount: z.number() }), execute: () => 'paid' }),
    };
    const agent = new DurableAgent({
      model: model(server.baseURL),
      tools,
      toolApproval: { pay: 'user-approval' },
      ...(limits.wholeMs === undefined ? {} : { timeout: { totalMs: limits.wholeMs } }),
      ...(limits.toolMs === undefined ? {} : { durable: { tools: { look: { timeout: limits.toolMs } } } }),
    });
    const runtime = startRuntime({
      store,
      agents: { worker: agent },
      worker: { leaseMs: 500, pollMs: 20, storeTimeoutMs: 400 },
    });
    runtimes.push(runtime);
    return { agent, runtime, store };
  }

  async function goOn({ agent, runtime }: ReturnType<typeof process>): Promise<AgentResult> {
    const before = server.log.length;
    const run = await runtime.start(agent, { prompt: 'and now?', thread: 't' });
    const result = await run.result();
    expect(server.log.slice(before).map((entry) => [entry.status, entry.error])).toEqual([[200, null]]);
    expect(result.text).toContain('Here');
    return result;
  }

  const begin = ({ agent, runtime }: ReturnType<typeof process>): Promise<RunHandle<AgentResult>> =>
    runtime.start(agent, { prompt: 'work', thread: 't' });

  const approvalOf = (runtime: Runtime) => until(async () => (await runtime.approvals.list()).items[0]);

  async function chunksSeen(runtime: Runtime, run: string, count: number): Promise<void> {
    let seen = 0;
    for await (const _ of runtime.getRun(run).stream()) if ((seen += 1) >= count) return;
  }

  it.each([1, 3, 6, 9, 12, 15])('after a stop at chunk %i is valid', async (count) => {
    const setup = process();
    const run = await begin(setup);
    await chunksSeen(setup.runtime, run.id, count);
    await run.cancel();
    await run.result().catch((error: unknown) => expect(error).toMatchObject({ code: 'cancelled' }));
    await goOn(setup);
  });

  it('after a stop in a tool is valid', async () => {
    let looking = false;
    const setup = process(memoryStore(), () => {
      looking = true;
      return new Promise(() => {});
    });
    const run = await begin(setup);
    await until(() => looking);
    await run.cancel();
    await expect(run.result()).rejects.toMatchObject({ code: 'cancelled' });
    await goOn(setup);
  });

  it('after a tool that took longer than its time-out is valid', async () => {
    const setup = process(memoryStore(), () => new Promise(() => {}), { toolMs: 30 });
    const run = await begin(setup);
    const { id } = await approvalOf(setup.runtime);
    await setup.runtime.approvals.approve(id, { by: 'a' });
    expect((await run.result()).text).toContain('done now');
    await goOn(setup);
  });

  it('after an answer that took longer than the time-out of its agent is valid', async () => {
    const store = memoryStore();
    const hasty = process(killable(store).store, () => new Promise(() => {}), { wholeMs: 150 });
    const run = await begin(hasty);
    await expect(run.result()).rejects.toMatchObject({ code: 'run_failed' });
    await hasty.runtime.close();
    await goOn(process(store));
  });

  it('after an approval, a denial or a stop at an approval is valid', async () => {
    for (const end of ['approve', 'deny', 'stop'] as const) {
      const setup = process();
      const run = await begin(setup);
      const { id } = await approvalOf(setup.runtime);
      if (end === 'stop') await run.cancel();
      else await setup.runtime.approvals[end](id, { by: 'a', reason: 'because' });
      await run.result().catch((error: unknown) => expect(error).toMatchObject({ code: 'cancelled' }));
      await goOn(setup);
    }
  });

  it.each([2, 8, 14])('after a process died at chunk %i is valid', async (count) => {
    const store = memoryStore();
    const dying = killable(store);
    const first = process(dying.store);
    const run = await begin(first);
    await chunksSeen(first.runtime, run.id, count);
    dying.kill();
    const second = process(store);
    const { id } = await approvalOf(second.runtime);
    await second.runtime.approvals.approve(id, { by: 'a' });
    await second.runtime.getRun(run.id).result();
    await goOn(second);
  });

  it.each([1, 6, 12])('with a message steered in at chunk %i is valid', async (count) => {
    const setup = process();
    const run = await begin(setup);
    await chunksSeen(setup.runtime, run.id, count);
    await setup.runtime.start(setup.agent, { prompt: 'hurry up', thread: 't', whenBusy: 'steer' });
    const { id } = await approvalOf(setup.runtime);
    await setup.runtime.approvals.approve(id, { by: 'a' });
    await run.result();
    await goOn(setup);
    expect(server.log.filter((entry) => entry.status === 400)).toEqual([]);
  });

  it('after the stream was cut in the middle and tried again is valid', async () => {
    server.failNext({ kind: 'cut', afterTokens: 3, userText: 'work' });
    const setup = process();
    const run = await begin(setup);
    const { id } = await approvalOf(setup.runtime);
    await setup.runtime.approvals.approve(id, { by: 'a' });
    await run.result();
    await goOn(setup);
  });
});
