import { createOpenAI } from '@ai-sdk/openai';
import { createHook, createRuntime, workflow } from 'everturn';
import type { Runtime, Workflow } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { tool, ToolLoopAgent } from 'ai';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { startModelServer } from '../../examples/model-server/server.ts';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import { expectSilentConsole } from '../support/silent-console.ts';
import { observe } from './observe.ts';
import type { Observed } from './observe.ts';
import { mortalStore } from '../support/mortal-store.ts';
import { scriptedModel, text } from './scripted.ts';
import type { ScriptedModel } from './scripted.ts';
import { silentLogger } from '../support/silent-logger.ts';

expectSilentConsole();

const runtimes: Runtime[] = [];
afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close({ graceMs: 100 })));
});

function open(ask: Workflow<never>, store = memoryStore()): Runtime {
  const runtime = createRuntime({ store, workflows: [ask], logger: silentLogger });
  runtimes.push(runtime);
  return runtime;
}

/** A model that says half a sentence and then hangs; its stream does so whatever its signal says. */
function hangingModel(): ScriptedModel & { began: Promise<void> } {
  let begin = (): void => {};
  const began = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const model = scriptedModel(() => ({ content: [text('Half of')] }));
  return {
    ...model,
    began,
    doGenerate: ({ abortSignal }) => {
      begin();
      return new Promise((_, reject) =>
        abortSignal?.addEventListener('abort', () => reject(abortSignal.reason as Error)),
      );
    },
    doStream: async (options) => {
      const { stream } = await model.doStream(options);
      const reader = stream.getReader();
      return {
        stream: new ReadableStream({
          async pull(controller) {
            const { value } = await reader.read();
            if (value !== undefined && value.type !== 'text-end') {
              controller.enqueue(value);
              return;
            }
            begin();
            await new Promise(() => {});
          },
        }),
      };
    },
  };
}

describe('a durable call that is ended from outside', () => {
  for (const mode of ['stream', 'generate'] as const) {
    it(`${mode}() stops with its run, and its model attempt is accounted as aborted`, async () => {
      const model = hangingModel();
      const agent = new DurableAgent({ id: 'subject', model });
      const ask = workflow('ask', async () => {
        const result =
          mode === 'stream' ? await agent.stream({ prompt: 'Go.' }) : await agent.generate({ prompt: 'Go.' });
        return result.text;
      }) as Workflow<never>;
      const runtime = open(ask);
      const run = await runtime.start(ask);
      await model.began;
      await run.cancel();
      await expect(run.result()).rejects.toMatchObject({ code: 'cancelled' });
      const rows = (await runtime.ledger({ run: run.id })).items;
      expect(rows.map(({ key, outcome, inputTokens }) => [key, outcome, inputTokens])).toEqual([
        ['agent:subject/t0', 'aborted', null],
      ]);
    });

    it(`${mode}() obeys the caller's signal as a plain agent does, and the workflow goes on`, async () => {
      const abort = async (agent: ToolLoopAgent, model: { began: Promise<void> }): Promise<Observed> => {
        const controller = new AbortController();
        void model.began.then(() => controller.abort(new Error('Enough.')));
        const { parts, ...seen } = await observe(() => agent[mode]({ prompt: 'Go.', abortSignal: controller.signal }));
        // How much of the text came through before the abort is a matter of time.
        return { ...seen, last: Array.isArray(parts) ? parts.at(-1) : null };
      };
      const plain = hangingModel();
      const expected = await abort(new ToolLoopAgent({ model: plain }), plain);
      const model = hangingModel();
      const agent = new DurableAgent({ id: 'subject', model });
      const ask = workflow('ask', async () => ({ seen: await abort(agent, model) }));
      const run = await open(ask).start(ask);
      expect((await run.result()).seen).toEqual(expected);
      expect((await run.events()).map(({ type }) => type)).toContain('turn_failed');
    });
  }

  it('records each model attempt that the SDK makes, and the last failure is the caller’s', async () => {
    const refuse = (): unknown =>
      Object.assign(new Error('Slow down.'), {
        name: 'AI_APICallError',
        isRetryable: true,
        responseHeaders: { 'retry-after-ms': '1' },
        [Symbol.for('vercel.ai.error')]: true,
        [Symbol.for('vercel.ai.error.AI_APICallError')]: true,
      });
    const agent = new DurableAgent({ id: 'subject', model: scriptedModel(() => ({ content: [], refuse })) });
    const ask = workflow('ask', () => agent.generate({ prompt: 'Go.' })) as Workflow<never>;
    const runtime = open(ask);
    const run = await runtime.start(ask);
    await expect(run.result()).rejects.toMatchObject({
      cause: { name: 'AI_RetryError', reason: 'maxRetriesExceeded' },
    });
    const rows = (await runtime.ledger({ run: run.id })).items;
    expect(rows.map(({ attempt, outcome }) => [attempt, outcome])).toEqual([
      [1, 'failed'],
      [2, 'failed'],
      [3, 'failed'],
    ]);
  });
});

describe('the real provider', () => {
  it('is called once per turn, over a restart too, and its response survives whole', async () => {
    const server = await startModelServer({
      pacingMs: 0,
      scenarios: [
        {
          name: 'weather',
          matches: /weather/i,
          replies: [
            { text: 'I look.', toolCalls: [{ name: 'weather', arguments: { city: 'Oslo' } }] },
            (at) => ({ text: `It is ${at.toolResults[0]?.output}.` }),
          ],
        },
      ],
    });
    try {
      const openai = createOpenAI({ baseURL: server.baseURL, apiKey: 'local' });
      const agent = new DurableAgent({
        id: 'subject',
        model: openai('gpt-5'),
        tools: {
          weather: tool({ inputSchema: z.object({ city: z.string() }), execute: ({ city }) => `sunny in ${city}` }),
        },
      });
      const seen: Observed[] = [];
      let token = '';
      const ask = workflow('ask', async () => {
        seen.push(await observe(() => agent.stream({ prompt: 'The weather?' })));
        const hook = createHook();
        token = hook.token;
        await hook;
      }) as Workflow<never>;
      const store = memoryStore();
      const first = open(ask, mortalStore(store, { at: () => false }));
      const { id } = await first.start(ask);
      await expect.poll(() => first.getRun(id).status).toBe('waiting');
      await first.close();
      const second = open(ask, store);
      await second.resumeHook(token);
      await second.getRun(id).result();
      expect(seen[1]).toEqual(seen[0]);
      expect(server.log.map(({ outcome, turn }) => [outcome, turn])).toEqual([
        ['completed', 0],
        ['completed', 1],
      ]);
      expect(seen[0]?.['text']).toMatch(/sunny.*in Oslo/);
      for (const { token: mark } of server.log) expect(JSON.stringify(seen[1])).toContain(mark);
      const rows = (await second.ledger({ run: id })).items;
      expect(
        rows.every((row) => row.provider.startsWith('openai') && row.model === 'gpt-5' && (row.outputTokens ?? 0) > 0),
      ).toBe(true);
    } finally {
      await server.close();
    }
  });
});
