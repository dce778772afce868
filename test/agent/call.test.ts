import { DurableError, createHook, createRuntime, step, workflow } from 'everturn';
import type { Runtime } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { APICallError, tool } from 'ai';
import type { LanguageModel } from 'ai';
import { MockLanguageModelV3, MockLanguageModelV4, MockProviderV4 } from 'ai/test';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import { decodeEvent } from '../../src/runtime/event.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { mortalStore } from '../support/mortal-store.ts';
import { call, scriptedModel, text } from './scripted.ts';
import { silentLogger } from '../support/silent-logger.ts';

const runtimes: Runtime[] = [];
afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close({ graceMs: 100 })));
});

/** Deaths and takeovers are what is tested; nothing else may warn. */
function open(options: Parameters<typeof createRuntime>[0]): Runtime {
  const runtime = createRuntime({ logger: silentLogger, ...options });
  // A manual clock keeps nothing open; a dead store would hold close() up.
  if (options.clock === undefined) runtimes.push(runtime);
  return runtime;
}

function weather() {
  const runs: string[] = [];
  const model = scriptedModel([
    { content: [text('I look it up. '), call('weather', { city: 'Bern' })] },
    { content: [text('It is sunny in Bern.')] },
  ]);
  const agent = new DurableAgent({
    id: 'weather',
    model,
    tools: {
      weather: tool({
        inputSchema: z.object({ city: z.string() }),
        execute: ({ city }) => {
          runs.push(city);
          return { city, sky: 'sunny' };
        },
      }),
    },
  });
  return { agent, model, runs };
}

describe('an agent called in a workflow', () => {
  for (const mode of ['stream', 'generate'] as const) {
    it(`${mode}() records its turns and tools`, async () => {
      const { agent, model, runs } = weather();
      const ask = workflow('ask', async () => {
        const result =
          mode === 'stream' ? await agent.stream({ prompt: 'Bern?' }) : await agent.generate({ prompt: 'Bern?' });
        return await result.text;
      });
      const runtime = open({ store: memoryStore(), workflows: [ask] });
      const run = await runtime.start(ask);
      expect(await run.result()).toBe('It is sunny in Bern.');
      expect(runs).toEqual(['Bern']);
      expect(model.calls).toHaveLength(2);
      const events = (await run.events()).map((event) => `${event.type} ${event.key}`);
      expect(events.filter((event) => !event.startsWith('run_'))).toEqual([
        'turn_completed agent:weather/t0',
        'tool_completed agent:weather/t0/tool:weather-1',
        'turn_completed agent:weather/t1',
        'agent_completed agent:weather',
      ]);
      const rows = await runtime.ledger({ run: run.id });
      expect(rows.items.map((row) => [row.key, row.outcome, row.inputTokens, row.outputTokens])).toEqual([
        ['agent:weather/t0', 'completed', 10, 5],
        ['agent:weather/t1', 'completed', 10, 5],
      ]);
    });

    it(`${mode}() is replayed whole after a wait, without a model or a tool`, async () => {
      const { agent, model, runs } = weather();
      let token = '';
      const ask = workflow('ask', async () => {
        const result =
          mode === 'stream' ? await agent.stream({ prompt: 'Bern?' }) : await agent.generate({ prompt: 'Bern?' });
        const answer = await result.text;
        const hook = createHook<string>();
        token = hook.token;
        return `${answer} ${await hook}`;
      });
      const store = memoryStore();
      const first = createRuntime({ store: mortalStore(store, { at: () => false }), workflows: [ask] });
      const { id } = await first.start(ask);
      await expect.poll(() => first.getRun(id).status).toBe('waiting');
      await first.close();
      const second = open({ store, workflows: [ask] });
      await second.resumeHook(token, 'Thanks.');
      expect(await second.getRun(id).result()).toBe('It is sunny in Bern. Thanks.');
      expect(runs).toEqual(['Bern']);
      expect(model.calls).toHaveLength(2);
    });

    it(`${mode}() goes on after a crash at each commit`, async () => {
      for (const when of ['before', 'after'] as const) {
        for (let at = 0; at < 5; at += 1) {
          const { agent, model, runs } = weather();
          const ask = workflow('ask', async () => {
            const result =
              mode === 'stream' ? await agent.stream({ prompt: 'Bern?' }) : await agent.generate({ prompt: 'Bern?' });
            return await result.text;
          });
          const clock = manualClock();
          const store = memoryStore({ clock });
          const committed: string[] = [];
          const dying = mortalStore(store, {
            when,
            at: (commit, index) => {
              if (index < at || (index === at && when === 'after'))
                committed.push(...commit.events.map((payload) => decodeEvent(payload).key));
              return index === at;
            },
          });
          const first = createRuntime({ store: dying, workflows: [ask], clock, logger: silentLogger });
          const { id } = await first.start(ask);
          for (let turn = 0; turn < 50 && !dying.dead; turn += 1) await clock.advance(1);
          const atDeath = { models: model.calls.length, tools: runs.length };
          const second = open({ store, workflows: [ask], clock });
          const result = second.getRun(id).result();
          for (let turn = 0; turn < 20; turn += 1) await clock.advance(1_000);
          expect(dying.dead).toBe(true);
          expect(await result).toBe('It is sunny in Bern.');
          const lost = {
            models: atDeath.models - committed.filter((key) => /\/t\d$/.test(key)).length,
            tools: atDeath.tools - committed.filter((key) => key.includes('/tool:')).length,
          };
          expect({ when, at, models: model.calls.length, tools: runs.length }).toEqual({
            when,
            at,
            models: 2 + lost.models,
            tools: 1 + lost.tools,
          });
        }
      }
    });
  }
});

describe('the model of an agent', () => {
  const says = (value: string) => ({
    content: [{ type: 'text' as const, text: value }],
    finishReason: { unified: 'stop' as const, raw: 'stop' },
    usage: {
      inputTokens: { total: 3, noCache: 3, cacheRead: undefined, cacheWrite: undefined },
      outputTokens: { total: 1, text: 1, reasoning: undefined },
    },
    warnings: [],
  });

  async function answerOf(model: LanguageModel): Promise<{ said: unknown; rows: string[] }> {
    const agent = new DurableAgent({ id: 'subject', model });
    const ask = workflow('ask', async () => (await agent.generate({ prompt: 'Go.' })).text);
    const runtime = open({ store: memoryStore(), workflows: [ask] });
    const run = await runtime.start(ask);
    const said = await run.result();
    return {
      said,
      rows: (await runtime.ledger({ run: run.id })).items.map(
        (row) => `${row.provider} ${row.model} ${row.inputTokens}`,
      ),
    };
  }

  it('may be of an older specification', async () => {
    const model = new MockLanguageModelV3({ provider: 'old', modelId: 'v3', doGenerate: says('Hello.') });
    expect(await answerOf(model)).toEqual({ said: 'Hello.', rows: ['old v3 3'] });
  });

  it('may be an id of the default provider', async () => {
    const provider = globalThis.AI_SDK_DEFAULT_PROVIDER;
    const model = new MockLanguageModelV4({ provider: 'default', modelId: 'm1', doGenerate: says('Hi.') });
    globalThis.AI_SDK_DEFAULT_PROVIDER = new MockProviderV4({ languageModels: { m1: model } }) as never;
    try {
      expect(await answerOf('m1')).toEqual({ said: 'Hi.', rows: ['default m1 3'] });
    } finally {
      globalThis.AI_SDK_DEFAULT_PROVIDER = provider;
    }
  });
});

describe('the record of a turn', () => {
  interface Asked {
    prompt?: string;
    description?: string;
    /** Refusals of the model before it answers. */
    refusals?: number;
  }

  async function turnsOf({ prompt = 'Bern?', description = 'Weather.', refusals = 0 }: Asked = {}) {
    const script = [{ content: [call('weather', { city: 'Bern' })] }, { content: [text('It is sunny in Bern.')] }];
    const overloaded = new APICallError({
      message: 'Overloaded.',
      url: 'https://example.com',
      requestBodyValues: {},
      statusCode: 529,
      responseHeaders: { 'retry-after-ms': '1' },
      isRetryable: true,
    });
    const model = scriptedModel((_options, index) =>
      index < refusals ? { content: [], refuse: () => overloaded } : (script[index - refusals] ?? { content: [] }),
    );
    const weatherTool = tool({
      description,
      inputSchema: z.object({ city: z.string() }),
      execute: () => 'sunny',
    });
    const agent = new DurableAgent({ id: 'weather', model, tools: { weather: weatherTool } });
    const ask = workflow('ask', async () => (await agent.generate({ prompt })).text);
    const run = await open({ store: memoryStore(), workflows: [ask] }).start(ask);
    expect(await run.result()).toBe('It is sunny in Bern.');
    return (await run.events()).filter(({ type }) => type.startsWith('turn_'));
  }

  const usage = { inputTokens: 10, outputTokens: 5 };
  const hash = expect.stringMatching(/^[0-9a-f]{16}$/);

  it('says which model answered, at which attempt, to what, and what it used', async () => {
    const [first, second] = await turnsOf();
    const meta = { provider: 'scripted', model: 'script-1', attempt: 1, promptHash: hash, toolsHash: hash, usage };
    expect(first).toMatchObject({ type: 'turn_completed', meta: { ...meta, finishReason: 'tool-calls' } });
    expect(second).toMatchObject({ type: 'turn_completed', meta: { ...meta, finishReason: 'stop' } });
    expect(second?.meta?.['toolsHash']).toBe(first?.meta?.['toolsHash']);
    expect(second?.meta?.['promptHash']).not.toBe(first?.meta?.['promptHash']);
  });

  it('counts the attempts of a turn that was tried again, and asks for the same', async () => {
    const [plain] = await turnsOf();
    const turns = await turnsOf({ refusals: 1 });
    const { promptHash, toolsHash } = plain?.meta ?? {};
    expect(turns).toMatchObject([
      { type: 'turn_failed', attempt: 1, meta: { model: 'script-1', outcome: 'failed', error: 'Overloaded.' } },
      { type: 'turn_completed', meta: { model: 'script-1', attempt: 2, usage, promptHash, toolsHash } },
      { type: 'turn_completed', meta: { model: 'script-1', attempt: 1, usage } },
    ]);
  });

  it('tells another prompt and other tools apart', async () => {
    const hashes = async (asked?: Asked) => {
      const [turn] = await turnsOf(asked);
      return [turn?.meta?.['promptHash'], turn?.meta?.['toolsHash']];
    };
    const [prompt, tools] = await hashes();
    expect(await hashes()).toEqual([prompt, tools]);
    expect(await hashes({ prompt: 'Thun?' })).toEqual([expect.not.stringMatching(String(prompt)), tools]);
    expect(await hashes({ description: 'Forecast.' })).toEqual([prompt, expect.not.stringMatching(String(tools))]);
  });
});

describe('outside of a run', () => {
  it('an agent is a plain one, and so it is in a step', async () => {
    const { agent, model } = weather();
    expect((await agent.generate({ prompt: 'Bern?' })).text).toBe('It is sunny in Bern.');
    const ask = workflow('ask', () => step('ask', async () => (await agent.generate({ prompt: 'Bern?' })).text));
    const run = await open({ store: memoryStore(), workflows: [ask] }).start(ask);
    expect(await run.result()).toBe('It is sunny in Bern.');
    expect((await run.events()).map((event) => event.type)).toEqual(['step_completed', 'run_completed']);
    expect(model.calls).toHaveLength(4);
  });
});

describe('the settings of an agent', () => {
  it('refuse a tool name that it does not have', () => {
    const { model } = weather();
    const make = (): unknown =>
      new DurableAgent({
        model,
        tools: { weather: tool({ inputSchema: z.object({}), execute: () => 1 }) },
        // @ts-expect-error the tool is named weather
        durable: { tools: { wether: { retries: 1 } } },
      });
    expect(make).toThrow(DurableError);
    expect(make).toThrow(/durable.tools.wether.*"weather"/);
  });
});
