import { child, createHook, createRuntime, FatalError, RetryableError, sleep, step, workflow } from 'everturn';
import type { Runtime, Workflow } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { tool } from 'ai';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import { startAgentCall } from '../../src/agent/call/agent-call.ts';
import type { AgentCallOptions } from '../../src/agent/call/agent-call.ts';
import { requireContext } from '../../src/runtime/context.ts';
import { decodeEvent } from '../../src/runtime/event.ts';
import type { EventType } from '../../src/runtime/event.ts';
import type { Store } from '../../src/runtime/store.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import type { ManualClock } from '../../src/testing/manual-clock.ts';
import { getToolMetadata } from '../../src/tools/tool-metadata.ts';
import { mortalStore } from '../support/mortal-store.ts';
import { call, scriptedModel, text } from './scripted.ts';
import type { ScriptedModel } from './scripted.ts';
import { silentLogger } from '../support/silent-logger.ts';

const runtimes: Runtime[] = [];
afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close({ graceMs: 100 })));
});

function open(store: Store, ask: Workflow<never> | Workflow<never>[], clock?: ManualClock): Runtime {
  const runtime = createRuntime({
    store,
    workflows: [ask].flat(),
    logger: silentLogger,
    ...(clock === undefined ? {} : { clock }),
  });
  // A manual clock keeps nothing open; a dead store would hold close() up.
  if (clock === undefined) runtimes.push(runtime);
  return runtime;
}

const object = z.object({ x: z.number() });

/** An agent that calls the tool `act` once and then says what the tool answered. */
function acting(
  execute: (input: { x: number }) => unknown,
  durable: object = {},
): { agent: DurableAgent<never, never>; model: ScriptedModel } {
  const model = scriptedModel((options) => {
    const last = options.prompt.at(-1);
    if (last?.role !== 'tool') return { content: [call('act', { x: 1 })] };
    const part = last.content.find((item) => item.type === 'tool-result');
    return { content: [text(JSON.stringify(part?.type === 'tool-result' ? part.output : null))] };
  });
  const agent = new DurableAgent({
    id: 'subject',
    model,
    tools: { act: tool({ inputSchema: object, execute }) },
    durable,
  });
  return { agent: agent as never, model };
}

function asking(agent: DurableAgent<never, never>, name = 'ask'): Workflow<never> {
  return workflow(name, async () => (await agent.generate({ prompt: 'Go.' })).text);
}

/** Runs until the store dies with a commit that has the event, then goes on in a second runtime. */
async function diesWith(
  type: EventType,
  options: { ask: Workflow<never>; when: 'before' | 'after'; nth?: number; key?: RegExp },
): Promise<{ result: Promise<unknown>; runtime: Runtime; id: string }> {
  const clock = manualClock();
  const store = memoryStore({ clock });
  let seen = 0;
  const fits = (payload: Uint8Array): boolean => {
    const event = decodeEvent(payload);
    return event.type === type && (options.key?.test(event.key) ?? true) && (seen += 1) === (options.nth ?? 1);
  };
  const dying = mortalStore(store, { when: options.when, at: (commit) => commit.events.some(fits) });
  const first = open(dying, options.ask, clock);
  const { id } = await first.start(options.ask);
  await expect.poll(async () => (await clock.advance(50), dying.dead), { timeout: 5_000, interval: 1 }).toBe(true);
  const runtime = open(store, options.ask, clock);
  const result = (async () => {
    await expect
      .poll(async () => (await clock.advance(1_000), runtime.getRun(id).status), { timeout: 8_000, interval: 1 })
      .toMatch(/completed|failed|parked/);
    return runtime.getRun(id).result();
  })();
  result.catch(() => {});
  return { result, runtime, id };
}

describe('a tool of a durable agent', () => {
  it('knows its idempotency key and its attempt', async () => {
    const seen: unknown[] = [];
    const { agent } = acting(() => {
      const { idempotencyKey, attempt, toolCallId } = getToolMetadata();
      seen.push({ idempotencyKey, attempt, toolCallId });
      return 'ok';
    });
    const ask = asking(agent);
    const { result, id } = await diesWith('tool_completed', { ask, when: 'before' });
    expect(await result).toContain('ok');
    const key = `${id}/agent:subject/t0/tool:act-1`;
    expect(seen).toEqual([
      { idempotencyKey: key, attempt: 1, toolCallId: 'act-1' },
      { idempotencyKey: key, attempt: 2, toolCallId: 'act-1' },
    ]);
  });

  it('is tried again as its settings say, with the same key', async () => {
    const keys: string[] = [];
    const { agent } = acting(
      () => {
        keys.push(getToolMetadata().idempotencyKey);
        if (keys.length < 3) throw new RetryableError('busy', { retryAfter: 1 });
        return 'third time';
      },
      { tools: { act: { retries: 2 } } },
    );
    const ask = asking(agent);
    const run = await open(memoryStore(), ask).start(ask);
    expect(await run.result()).toContain('third time');
    expect(new Set(keys).size).toBe(1);
    expect(keys).toHaveLength(3);
  });

  it('that throws a FatalError ends the loop: it is not tried again and no model is called', async () => {
    let tries = 0;
    const { agent, model } = acting(
      () => {
        tries += 1;
        throw new FatalError('account closed');
      },
      { tools: { act: { retries: 5 } } },
    );
    const ask = asking(agent);
    const run = await open(memoryStore(), ask).start(ask);
    await expect(run.result()).rejects.toMatchObject({
      code: 'run_failed',
      cause: { name: 'FatalError', message: 'account closed' },
    });
    expect({ tries, models: model.calls.length }).toEqual({ tries: 1, models: 1 });
  });

  it('that takes too long fails as its timeout says', async () => {
    const { agent } = acting(() => new Promise(() => {}), { tools: { act: { timeout: '20ms' } } });
    const ask = asking(agent);
    const run = await open(memoryStore(), ask).start(ask);
    expect(await run.result()).toContain('timeout of 20 ms');
  });

  it('may sleep and take steps; what it recorded inside is not done again', async () => {
    const log: string[] = [];
    const { agent } = acting(async () => {
      const a = await step('first', () => (log.push('first'), 1));
      await sleep('1 hour');
      const b = await step('second', () => (log.push('second'), 2));
      return { sum: a + b };
    });
    const clock = manualClock();
    const store = memoryStore({ clock });
    const ask = asking(agent);
    const first = open(store, ask, clock);
    const { id } = await first.start(ask);
    await expect.poll(async () => (await clock.advance(10), first.getRun(id).status), { interval: 1 }).toBe('waiting');
    await clock.advance(31_000);
    expect(log).toEqual(['first']);
    await clock.advance(3_600_000);
    await expect
      .poll(async () => (await clock.advance(10), first.getRun(id).status), { interval: 1 })
      .toBe('completed');
    expect(await first.getRun(id).result()).toContain('"sum":3');
    expect(log).toEqual(['first', 'second']);
  });

  it('may wait for a hook over a restart', async () => {
    let token = '';
    const { agent, model } = acting(async () => {
      const hook = createHook<string>();
      token = hook.token;
      return `heard ${await hook}`;
    });
    const ask = asking(agent);
    const store = memoryStore();
    const first = open(mortalStore(store, { at: () => false }), ask);
    const { id } = await first.start(ask);
    await expect.poll(() => first.getRun(id).status).toBe('waiting');
    await first.close();
    const second = open(store, ask);
    await second.resumeHook(token, 'a voice');
    expect(await second.getRun(id).result()).toContain('heard a voice');
    expect(model.calls).toHaveLength(2);
  });

  it('may be an agent: its committed turns survive the death of the tool around it', async () => {
    const inner = acting(() => 'deep');
    const outer = acting(async () => (await inner.agent.generate({ prompt: 'Inside.' })).text);
    const { result, runtime, id } = await diesWith('turn_completed', {
      ask: asking(outer.agent),
      when: 'after',
      key: /act-1\/agent:subject\/t1$/,
    });
    expect(await result).toContain('deep');
    expect({ inner: inner.model.calls.length, outer: outer.model.calls.length }).toEqual({ inner: 2, outer: 2 });
    const keys = (await runtime.getRun(id).events()).map((event) => event.key).filter((key) => key.includes('/t'));
    expect(keys).toContain('agent:subject/t0/tool:act-1/agent:subject/t0/tool:act-1');
  });
});

describe('a tool whose process died', () => {
  it("fails readably with onInDoubt 'fail', and runs once", async () => {
    let runs = 0;
    const { agent } = acting(() => (runs += 1), { tools: { act: { onInDoubt: 'fail' } } });
    const { result } = await diesWith('tool_completed', { ask: asking(agent), when: 'before' });
    expect(await result).toMatch(/Cannot say whether the tool .*act.* took effect.*tool_in_doubt/);
    expect(runs).toBe(1);
  });

  it('is not in doubt if it died before its start was recorded', async () => {
    let runs = 0;
    const { agent } = acting(() => `run ${(runs += 1)}`, { tools: { act: { onInDoubt: 'fail' } } });
    const { result } = await diesWith('tool_started', { ask: asking(agent), when: 'before' });
    expect(await result).toContain('run 1');
  });

  it('is not in doubt if it was left waiting', async () => {
    const { agent } = acting(
      async () => {
        await sleep('1 hour');
        return 'slept';
      },
      { tools: { act: { onInDoubt: 'fail' } } },
    );
    const ask = asking(agent);
    const clock = manualClock();
    const store = memoryStore({ clock });
    const first = open(mortalStore(store, { at: () => false }), ask, clock);
    const { id } = await first.start(ask);
    await expect.poll(async () => (await clock.advance(10), first.getRun(id).status), { interval: 1 }).toBe('waiting');
    const closing = first.close();
    await clock.advance(10_000);
    await closing;
    const second = open(store, ask, clock);
    await clock.advance(3_600_000);
    await expect
      .poll(async () => (await clock.advance(100), second.getRun(id).status), { interval: 1 })
      .toBe('completed');
    expect(await second.getRun(id).result()).toContain('slept');
  });
});

/** Calls the agent as its own run does. */
function calling(
  agent: DurableAgent<never, never>,
  options: (messages: string[]) => Partial<AgentCallOptions>,
): Workflow<never> {
  return workflow('ask', async () => {
    const context = requireContext('a test');
    const delivered: string[] = [];
    const started = await startAgentCall(agent, context, {
      path: 'agent#0',
      messages: [{ role: 'user', content: 'Go.' }],
      signal: context.signal,
      ...options(delivered),
    });
    await started.result.consumeStream({ onError: () => {} });
    const failure = started.failure();
    return {
      text: await Promise.resolve(started.result.text).catch((error: unknown) => String(error)),
      failure: failure === undefined ? null : { kind: failure.kind, key: failure.key, attempt: failure.attempt },
      delivered,
    };
  });
}

describe("a call of an agent's own run", () => {
  it('asks about a tool in doubt, and runs it again if the answer says so', async () => {
    for (const [answer, expected, runs] of [
      [{ kind: 'again' }, 'run 2', 2],
      [{ kind: 'happened', result: 'it was sent' }, 'it was sent', 1],
      [{ kind: 'fail', reason: 'nobody knows' }, 'nobody knows', 1],
    ] as const) {
      let count = 0;
      const asked: number[] = [];
      const { agent } = acting(() => `run ${(count += 1)}`, { tools: { act: { onInDoubt: 'ask' } } });
      const ask = calling(agent, () => ({
        ask: (doubt) => {
          asked.push(doubt.attempt);
          return Promise.resolve(answer);
        },
      }));
      const { result } = await diesWith('tool_completed', { ask, when: 'before' });
      expect((await result) as { text: string }).toMatchObject({
        text: expect.stringContaining(expected),
        failure: null,
      });
      expect({ count, asked }).toEqual({ count: runs, asked: [1] });
    }
  });

  it('steers messages in after a turn, recorded with it, and at the same place on replay', async () => {
    const model = scriptedModel((options) => {
      const users = options.prompt
        .filter((message) => message.role === 'user')
        .map((message) => message.content.map((part) => (part.type === 'text' ? part.text : '')).join(''));
      return { content: [text(`Heard: ${users.join(', ')}.`)] };
    });
    const agent = new DurableAgent({ id: 'subject', model }) as never;
    const waiting = [{ id: 'm1', message: { role: 'user' as const, content: 'And this.' } }];
    const ask = calling(agent, (delivered) => ({
      intake: (turn) => (turn === 0 ? waiting.splice(0) : []),
      onTurn: (turn) => void delivered.push(`${turn.n} ${turn.steered.join()} ${turn.replayed}`),
    }));
    const { result } = await diesWith('turn_completed', { ask, when: 'after' });
    expect(await result).toEqual({
      text: 'Heard: Go., And this..',
      failure: null,
      delivered: ['0 m1 true', '1  false'],
    });
    expect(model.calls).toHaveLength(2);
  });

  it('tells that a turn failed in mid-stream, counts it, and records no turn', async () => {
    const model = scriptedModel([{ content: [text('Half of')], breakWith: { throws: new Error('Socket closed.') } }]);
    const agent = new DurableAgent({ id: 'subject', model, onError: () => {} }) as never;
    const ask = calling(agent, () => ({ onTurn: () => {} }));
    const runtime = open(memoryStore(), ask);
    const run = await runtime.start(ask);
    expect(await run.result()).toMatchObject({ failure: { kind: 'turn', key: 'agent#0/t0', attempt: 1 } });
    expect((await run.events()).map((event) => event.type)).toEqual(['turn_failed', 'run_completed']);
    const rows = (await runtime.ledger({ run: run.id })).items;
    expect(rows.map((row) => [row.outcome, row.attempt, row.inputTokens])).toEqual([['failed', 1, null]]);
  });

  it('tells of a FatalError, and calls no model after it', async () => {
    const { agent, model } = acting(() => {
      throw new FatalError('account closed');
    });
    const ask = calling(agent, () => ({ onTurn: () => {} }));
    const run = await open(memoryStore(), ask).start(ask);
    expect(await run.result()).toMatchObject({ failure: { kind: 'tool', key: 'agent#0/t0/tool:act-1' } });
    expect(model.calls).toHaveLength(1);
  });

  it('gives an edited input to the tool and tells the model', async () => {
    const got: unknown[] = [];
    const { agent, model } = acting((input) => (got.push(input), 'done'));
    const ask = calling(agent, () => ({
      edits: new Map([['act-1', { x: 7 }]]),
      messages: [
        { role: 'user', content: 'Go.' },
        {
          role: 'assistant',
          content: [
            { type: 'tool-call', toolCallId: 'act-1', toolName: 'act', input: { x: 1 } },
            { type: 'tool-approval-request', approvalId: 'a1', toolCallId: 'act-1' },
          ],
        },
        { role: 'tool', content: [{ type: 'tool-approval-response', approvalId: 'a1', approved: true }] },
      ],
    }));
    const run = await open(memoryStore(), ask).start(ask);
    expect(await run.result()).toMatchObject({
      text: expect.stringMatching(/changed its input.*\{\\"x\\":7\}.*done/s),
    });
    expect(got).toEqual([{ x: 7 }]);
    expect(JSON.stringify(model.calls[0]?.prompt)).toContain('"input":{"x":1}');
  });

  it('answers an approved call of a tool that does not exist any more', async () => {
    const { agent, model } = acting(() => 'never');
    const ask = calling(agent, () => ({
      messages: [
        { role: 'user', content: 'Go.' },
        {
          role: 'assistant',
          content: [
            { type: 'tool-call', toolCallId: 'old-1', toolName: 'old', input: {} },
            { type: 'tool-approval-request', approvalId: 'a1', toolCallId: 'old-1' },
          ],
        },
        { role: 'tool', content: [{ type: 'tool-approval-response', approvalId: 'a1', approved: true }] },
      ],
    }));
    const run = await open(memoryStore(), ask).start(ask);
    expect(await run.result()).toMatchObject({ text: expect.stringContaining('no such tool') });
    expect(model.calls[0]?.tools?.map((offered) => offered.name)).toEqual(['act']);
  });
});

describe('user functions of an agent', () => {
  for (const mode of ['stream', 'generate'] as const) {
    it(`may take steps inside ${mode}(): prepareStep, policies and stop conditions`, async () => {
      const log: string[] = [];
      const once = (name: string): Promise<string> => step(name, () => (log.push(name), name));
      const model = scriptedModel([{ content: [call('act', { x: 1 })] }, { content: [text('Done.')] }]);
      const agent = new DurableAgent({
        id: 'subject',
        model,
        tools: { act: tool({ inputSchema: object, execute: () => 'ok' }) },
        prepareStep: async ({ stepNumber }) => void (await once(`prepare ${stepNumber}`)),
        toolApproval: async () => {
          await once('policy');
          return undefined;
        },
        stopWhen: async () => (await once('stop')) === '',
      });
      let token = '';
      const ask = workflow('ask', async () => {
        const result =
          mode === 'stream' ? await agent.stream({ prompt: 'Go.' }) : await agent.generate({ prompt: 'Go.' });
        const said = await result.text;
        const hook = createHook<string>();
        token = hook.token;
        return said + (await hook);
      }) as Workflow<never>;
      const store = memoryStore();
      const first = open(mortalStore(store, { at: () => false }), ask);
      const { id } = await first.start(ask);
      await expect.poll(() => first.getRun(id).status).toBe('waiting');
      expect(log).toEqual(['prepare 0', 'policy', 'stop', 'prepare 1']);
      await first.close();
      const second = open(store, ask);
      await second.resumeHook(token, '!');
      expect(await second.getRun(id).result()).toBe('Done.!');
      expect(log).toHaveLength(4);
    });

    it(`may wait for people inside ${mode}(): a hook in prepareStep, a child and a sleep in a policy`, async () => {
      const log: string[] = [];
      const tokens: Record<string, string> = {};
      const wait = async (name: string): Promise<string> => {
        const hook = createHook<string>();
        tokens[name] = hook.token;
        const said = await hook;
        log.push(`${name}: ${said}`);
        return said;
      };
      const model = scriptedModel([{ content: [call('act', { x: 1 })] }, { content: [text('Done.')] }]);
      const agent = new DurableAgent({
        id: 'subject',
        model,
        tools: { act: tool({ inputSchema: object, execute: () => 'ok' }) },
        prepareStep: async ({ stepNumber }) => {
          if (stepNumber === 0) await wait('prepare');
          return {};
        },
        toolApproval: async () => {
          await sleep(1);
          log.push(`policy: ${await child(helper, 'who?')}`);
          return undefined;
        },
      });
      const helper = workflow('helper', async (input: string) => `${input} me`);
      const ask = workflow('ask', async () => {
        const result =
          mode === 'stream' ? await agent.stream({ prompt: 'Go.' }) : await agent.generate({ prompt: 'Go.' });
        return (await result.text) + (await wait('after'));
      }) as Workflow<never>;
      const store = memoryStore();
      const first = open(mortalStore(store, { at: () => false }), [ask, helper]);
      const { id } = await first.start(ask);
      await expect.poll(() => first.getRun(id).status).toBe('waiting');
      await first.resumeHook(tokens['prepare'] ?? '', 'yes');
      await expect.poll(() => tokens['after']).toBeDefined();
      await expect.poll(() => first.getRun(id).status).toBe('waiting');
      await first.close();
      expect(log).toEqual(['prepare: yes', 'policy: who? me']);
      const second = open(store, [ask, helper]);
      await second.resumeHook(tokens['after'] ?? '', '!');
      expect(await second.getRun(id).result()).toBe('Done.!');
      expect(log).toEqual(['prepare: yes', 'policy: who? me', 'prepare: yes', 'after: !']);
      expect(model.calls).toHaveLength(2);
    });
  }
});
