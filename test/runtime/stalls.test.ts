/** A process that stalls past its lease: its timers stand still meanwhile, and go off together afterwards. */

import { createRuntime, getWritable, step, workflow } from 'everturn';
import type { Runtime, RuntimeOptions } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { afterEach, expect, it } from 'vitest';
import type { Clock } from '../../src/runtime/clock.ts';
import type { Commit, CommitResult, Store } from '../../src/runtime/store.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import type { ManualClock } from '../../src/testing/manual-clock.ts';

const LEASE_MS = 15_000;

const opened: Array<{ runtime: Runtime; time: ManualClock }> = [];
afterEach(async () => {
  for (const { runtime, time } of opened.splice(0)) {
    const closing = runtime.close({ graceMs: 0 });
    await time.advance(10_000);
    await closing;
  }
});

function open(time: ManualClock, options: RuntimeOptions): Runtime {
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const runtime = createRuntime({ clock: time, worker: { leaseMs: LEASE_MS }, logger, ...options });
  opened.push({ runtime, time });
  return runtime;
}

function stalling(time: ManualClock): { clock: Clock; stall: (ms: number) => Promise<void> } {
  let isStalled = false;
  const late: Array<() => void> = [];
  return {
    clock: { ...time, schedule: (run, delay) => time.schedule(() => (isStalled ? void late.push(run) : run()), delay) },
    async stall(ms) {
      isStalled = true;
      await time.advance(ms);
      isStalled = false;
      for (const run of late.splice(0)) {
        run();
        await time.settleAll();
      }
    },
  };
}

/** Acknowledges the chunks that come while `loses` is true, and forgets them, as one that does not sync each commit may. */
function forgetful(inner: Store, time: ManualClock): { store: Store; loses: boolean } {
  const answerTo = ({ expect: head, chunks }: Commit): CommitResult => ({
    kind: 'applied',
    holder: true,
    head,
    now: time.now(),
    extended: false,
    cancel: false,
    messages: [],
    tails: Object.fromEntries(chunks.map((write) => [write.stream, write.chunks.length])),
  });
  const made = {
    loses: false,
    store: {
      ...inner,
      commit: async (batch: Commit[]) =>
        made.loses && batch.every(({ events }) => events.length === 0) ? batch.map(answerTo) : inner.commit(batch),
    },
  };
  return made;
}

it.each([
  ['drops a run of which the store has lost a commit, and does it again', true, 2],
  ['goes on in place with one that nobody has taken', false, 1],
])('afterwards %s', async (_, loses, times) => {
  const time = manualClock();
  const { clock, stall } = stalling(time);
  const keeping = forgetful(memoryStore({ clock: time }), time);
  const finish: Array<() => void> = [];
  const flow = workflow('flow', () =>
    step('speak', async () => {
      keeping.loses = loses && finish.length === 0;
      await getWritable<string>().getWriter().write('said');
      await new Promise<void>((resolve) => finish.push(resolve));
    }),
  );
  const runtime = open(time, { clock, store: keeping.store, workflows: [flow] });
  const run = await runtime.start(flow, { id: 'run_1' });
  await time.advance(100);
  keeping.loses = false;
  const stored = await keeping.store.read('run_1', 'default', { from: 0, maxBytes: 1_000 });
  expect(stored?.tail ?? 0).toBe(loses ? 0 : 1);
  await stall(LEASE_MS + 1_000);
  await time.advance(100);
  for (const end of finish) end();
  await time.advance(100);
  await run.result();
  expect(finish).toHaveLength(times);
  const said: string[] = [];
  for await (const chunk of run.stream<string>({ follow: false })) said.push(chunk);
  expect(said).toEqual(['said']);
});

it('begins no further attempt of a step that another process has done meanwhile', async () => {
  const time = manualClock();
  const { clock, stall } = stalling(time);
  const store = memoryStore({ clock: time });
  const attempts: string[] = [];
  const flowOf = (name: string) =>
    workflow('flow', () =>
      step(
        'work',
        () => {
          attempts.push(name);
          if (name === 'first') throw new Error('not here');
          return name;
        },
        { retries: 5 },
      ),
    );
  const flow = flowOf('first');
  const deaf = { ...store, watch: () => () => undefined };
  const first = open(time, { clock, store: deaf, workflows: [flow] });
  const run = await first.start(flow);
  await time.settleAll();
  open(time, { store, workflows: [flowOf('second')] });
  await stall(LEASE_MS + 1_000);
  expect(await run.result()).toBe('second');
  expect(attempts).toEqual(['first', 'second']);
});
