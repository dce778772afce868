/** A store that may lose what it acknowledged last (`durability: 'async'`), under a process that stalled meanwhile. */

import { getWritable, step, workflow } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { afterEach, expect, it } from 'vitest';
import { createRuntime } from 'everturn';
import type { Runtime } from 'everturn';
import type { Clock } from '../../src/runtime/clock.ts';
import type { Commit, CommitResult, Store } from '../../src/runtime/store.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import type { ManualClock } from '../../src/testing/manual-clock.ts';

const LEASE_MS = 15_000;

let opened: { runtime: Runtime; clock: ManualClock } | undefined;
afterEach(async () => {
  const closing = opened?.runtime.close({ graceMs: 0 });
  await opened?.clock.advance(10_000);
  await closing;
});

/** Whose timers stand still while it stalls, and go off together after that. */
function stalling(clock: ManualClock): { clock: Clock; stall: (ms: number) => Promise<void> } {
  let isStalled = false;
  const late: Array<() => void> = [];
  return {
    clock: {
      ...clock,
      schedule: (run, delay) => clock.schedule(() => (isStalled ? void late.push(run) : run()), delay),
    },
    async stall(ms) {
      isStalled = true;
      await clock.advance(ms);
      isStalled = false;
      for (const run of late.splice(0)) run();
      await clock.settleAll();
    },
  };
}

/** Acknowledges the chunks that come while `loses` is true, and forgets them. */
function forgetful(inner: Store, clock: ManualClock): { store: Store; loses: boolean } {
  const answerTo = ({ expect: head, chunks }: Commit): CommitResult => ({
    kind: 'applied',
    holder: true,
    head,
    now: clock.now(),
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
  ['is dropped for what the store has, if that has lost a commit of it', true, 2],
  ['goes on in place, if it has lost none', false, 1],
])('a run whose process stalled past its lease %s', async (_, loses, times) => {
  const time = manualClock();
  const { clock, stall } = stalling(time);
  const keeping = forgetful(memoryStore({ clock: time }), time);
  const finish: Array<() => void> = [];
  const flow = workflow('flow', async () => {
    await step('speak', async () => {
      keeping.loses = loses && finish.length === 0;
      await getWritable<string>().getWriter().write('said');
      await new Promise<void>((resolve) => finish.push(resolve));
    });
  });
  const runtime = createRuntime({
    clock,
    store: keeping.store,
    workflows: [flow],
    worker: { leaseMs: LEASE_MS },
    logger: { debug() {}, info() {}, warn() {}, error() {} },
  });
  opened = { runtime, clock: time };
  const run = await runtime.start(flow, { id: 'run_1' });
  await time.advance(100);
  keeping.loses = false;
  const stored = await keeping.store.read('run_1', 'default', { from: 0, maxBytes: 1_000 });
  expect(stored?.tail).toBe(loses ? 0 : 1);
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
