import { createHook, createRuntime, workflow } from 'everturn';
import type { Runtime, Workflow } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { ToolLoopAgent } from 'ai';
import { afterEach, describe, expect, it } from 'vitest';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import { decodeEvent } from '../../src/runtime/event.ts';
import type { JournalEvent } from '../../src/runtime/event.ts';
import type { Store } from '../../src/runtime/store.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { composedFeatures } from './composed-features.ts';
import { features } from './features.ts';
import type { Built, Feature, Probe } from './features.ts';
import { observe } from './observe.ts';
import type { Observed } from './observe.ts';
import { mortalStore } from '../support/mortal-store.ts';
import { silentLogger } from '../support/silent-logger.ts';

const runtimes: Runtime[] = [];
afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close({ graceMs: 100 })));
});

function open(
  store: Store,
  workflows: Workflow<never>[],
  clock = undefined as Parameters<typeof createRuntime>[0]['clock'],
): Runtime {
  const runtime = createRuntime({ store, workflows, logger: silentLogger, ...(clock === undefined ? {} : { clock }) });
  // A manual clock keeps nothing open; a dead store would hold close() up.
  if (clock === undefined) runtimes.push(runtime);
  return runtime;
}

type Mode = 'stream' | 'generate';

function newProbe(): Probe {
  return { log: [], begun: [], models: [] };
}

const modelCalls = (probe: Probe): number => probe.models.reduce((sum, model) => sum + model.calls.length, 0);

function plain({ settings, options }: Built, mode: Mode): Promise<Observed> {
  const agent = new ToolLoopAgent(settings as never);
  return observe(() => agent[mode](options as never));
}

/** A workflow that calls the agent, and what it saw of each execution. */
function durable(built: Built, { mode, waits }: { mode: Mode; waits: boolean }) {
  const agent = new DurableAgent({ id: 'subject', ...built.settings } as never);
  const seen: Observed[] = [];
  let token = '';
  const ask = workflow('ask', async () => {
    seen.push(await observe(() => agent[mode](built.options as never)));
    if (!waits) return;
    const hook = createHook();
    token = hook.token;
    await hook;
  });
  return { ask, seen, token: () => token };
}

function again(feature: Feature, log: string[]): string[] {
  return log.filter((entry) => feature.runsAgain?.test(entry) !== true);
}

/** The end of the call itself, not that of an agent in one of its tools. */
function endsCall({ type, key }: JournalEvent): boolean {
  return ['agent_completed', 'agent_failed'].includes(type) && key === 'agent:subject';
}

interface Crash {
  feature: Feature;
  mode: Mode;
  when: 'before' | 'after';
  at: number;
  expected: Observed;
  /** Of a ToolLoopAgent. */
  outside: Probe;
}

/** False if there is no commit with this number. */
async function crashAt({ feature, mode, when, at, expected, outside }: Crash): Promise<boolean> {
  const probe = newProbe();
  const { ask, seen } = durable(feature.build(probe), { mode, waits: false });
  const clock = manualClock();
  const store = memoryStore({ clock });
  const recorded: JournalEvent[] = [];
  const dying = mortalStore(store, {
    when,
    at: (commit, index) => {
      const applied = index < at || (index === at && when === 'after');
      if (applied) recorded.push(...commit.events.map((payload) => decodeEvent(payload)));
      return index === at;
    },
  });
  const first = open(dying, [ask], clock);
  const { id } = await first.start(ask);
  const over = async (): Promise<boolean> => dying.dead || (await store.get(id))?.status === 'completed';
  await expect.poll(async () => (await clock.advance(10), over()), { timeout: 5_000, interval: 1 }).toBe(true);
  if (!dying.dead) return false;
  const count = (pattern: RegExp): number => recorded.filter(({ type }) => pattern.test(type)).length;
  const atDeath = modelCalls(probe);
  const lost = {
    calls: atDeath - count(/^turn_completed$/),
    tools: probe.begun.length - count(/^tool_(completed|failed)$/),
  };
  const second = open(store, [ask], clock);
  const status = async (): Promise<string> => (await clock.advance(100), second.getRun(id).status);
  await clock.advance(15_000);
  await expect.poll(status, { timeout: 8_000, interval: 1 }).toBe('completed');
  const place = { when, at };
  expect({ ...place, seen: seen.at(-1) }).toEqual({ ...place, seen: expected });
  // What was recorded is neither asked for nor run again; what was lost is, once.
  const calls = modelCalls(probe);
  const most = modelCalls(outside) + lost.calls;
  const isFine = feature.fails === true ? calls >= modelCalls(outside) && calls <= most : calls === most;
  expect({ ...place, isFine, calls, most }).toEqual({ ...place, isFine: true, calls, most });
  if (recorded.some(endsCall)) expect({ ...place, calls }).toEqual({ ...place, calls: atDeath });
  const tools = probe.begun.length;
  expect({ ...place, tools }).toEqual({ ...place, tools: outside.begun.length + lost.tools });
  return true;
}

for (const mode of ['stream', 'generate'] as const) {
  describe(`${mode}() of a durable agent`, () => {
    for (const feature of [...features, ...composedFeatures].filter(
      ({ only }) => only === undefined || only === mode,
    )) {
      it(`equals that of a ToolLoopAgent, live and replayed: ${feature.name}`, async () => {
        const outside = newProbe();
        const expected = await plain(feature.build(outside), mode);

        const probe = newProbe();
        const { ask, seen, token } = durable(feature.build(probe), { mode, waits: true });
        const store = memoryStore();
        const first = open(mortalStore(store, { at: () => false }), [ask]);
        const { id } = await first.start(ask);
        await expect.poll(() => first.getRun(id).status, { timeout: 5_000, interval: 5 }).toBe('waiting');
        expect(seen[0]).toEqual(expected);
        expect(probe.log).toEqual(outside.log);
        expect(modelCalls(probe)).toBe(modelCalls(outside));
        await first.close();

        const calls = modelCalls(probe);
        const log = [...probe.log];
        const second = open(store, [ask]);
        await second.resumeHook(token());
        await second.getRun(id).result();
        expect(seen[1]).toEqual(expected);
        expect(modelCalls(probe)).toBe(calls);
        expect(again(feature, probe.log.slice(log.length))).toEqual([]);
      });

      it(`is not changed by a crash at any commit: ${feature.name}`, async () => {
        const outside = newProbe();
        const expected = await plain(feature.build(outside), mode);
        for (const when of ['before', 'after'] as const) {
          for (let at = 0; await crashAt({ feature, mode, when, at, expected, outside }); at += 1);
        }
      });

      it(`is replayed after a crash before its end was recorded: ${feature.name}`, async () => {
        const outside = newProbe();
        const expected = await plain(feature.build(outside), mode);
        const probe = newProbe();
        const { ask, seen } = durable(feature.build(probe), { mode, waits: false });
        const clock = manualClock();
        const store = memoryStore({ clock });
        const dying = mortalStore(store, {
          when: 'before',
          at: (commit) => commit.events.some((payload) => endsCall(decodeEvent(payload))),
        });
        const { id } = await open(dying, [ask as never], clock).start(ask);
        await expect
          .poll(async () => (await clock.advance(10), dying.dead), { timeout: 5_000, interval: 1 })
          .toBe(true);
        const calls = modelCalls(probe);
        const log = [...probe.log];

        const second = open(store, [ask], clock);
        await expect
          .poll(async () => (await clock.advance(1_000), second.getRun(id).status), { timeout: 8_000, interval: 1 })
          .toBe('completed');
        expect(seen.at(-1)).toEqual(expected);
        if (feature.fails !== true) expect(modelCalls(probe)).toBe(calls);
        if (feature.fails !== true) expect(again(feature, probe.log.slice(log.length))).toEqual([]);
      });
    }
  });
}
