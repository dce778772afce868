/** A process that stalls past its lease: its timers stand still meanwhile, and go off together afterwards. */

import { getWritable, step, workflow } from 'everturn';
import { expect, it } from 'vitest';
import type { Clock } from '../../src/runtime/clock.ts';
import type { Commit, CommitResult, Store } from '../../src/runtime/store.ts';
import type { ManualClock } from '../../src/testing/manual-clock.ts';
import { processes } from './support.ts';

const LEASE_MS = 15_000;

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

/** From now on the store acknowledges what has no event, and forgets it, as one that does not sync each commit may. Answers what ends that. */
function forget(store: Store): () => void {
  const { commit } = store;
  const answerTo = ({ expect: head, chunks }: Commit): CommitResult => ({
    kind: 'applied',
    holder: true,
    head,
    now: 0,
    extended: false,
    cancel: false,
    messages: [],
    tails: Object.fromEntries(chunks.map((write) => [write.stream, write.chunks.length])),
  });
  store.commit = async (batch) =>
    batch.every(({ events }) => events.length === 0) ? batch.map(answerTo) : commit(batch);
  return () => (store.commit = commit);
}

it.each([
  ['drops a run of which the store has lost a commit, and does it again', true, 2],
  ['goes on in place with one that nobody has taken', false, 1],
])('afterwards %s', async (_, loses, times) => {
  const { clock: time, inner, open } = processes();
  const { clock, stall } = stalling(time);
  const finish: Array<() => void> = [];
  let remember = (): void => undefined;
  const flow = workflow('flow', () =>
    step('speak', async () => {
      if (loses && finish.length === 0) remember = forget(inner);
      await getWritable<string>().getWriter().write('said');
      await new Promise<void>((resolve) => finish.push(resolve));
    }),
  );
  const runtime = open({ clock, workflows: [flow] });
  const run = await runtime.start(flow, { id: 'run_1' });
  await time.advance(100);
  remember();
  const stored = await inner.read('run_1', 'default', { from: 0, maxBytes: 1_000 });
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
  const { clock: time, inner, open } = processes();
  const { clock, stall } = stalling(time);
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
  const { watch } = inner;
  // Nor does it hear what others do.
  inner.watch = () => () => undefined;
  const first = open({ clock, workflows: [flow] });
  const run = await first.start(flow);
  await time.settleAll();
  if (watch !== undefined) inner.watch = watch;
  open({ workflows: [flowOf('second')] });
  await stall(LEASE_MS + 1_000);
  expect(await run.result()).toBe('second');
  expect(attempts).toEqual(['first', 'second']);
});
