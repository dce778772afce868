import { createHook, createRuntime, workflow } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { afterEach, expect, it } from 'vitest';
import type { Runtime, Store } from 'everturn';

let runtime: Runtime | undefined;
afterEach(() => runtime?.close({ graceMs: 0 }));

async function untilWaiting(count: number): Promise<void> {
  await expect.poll(async () => (await runtime?.list({ status: ['waiting'] }))?.items.length).toBe(count);
}

/** Longer than a test: what is found is found for another reason than a poll. */
const POLL_MS = 60_000;

/** Its watchers hear nothing, so that a look is the worker's own idea. */
function countingClaims(): { store: Store; claims: () => number } {
  const inner = memoryStore();
  let claims = 0;
  return {
    store: { ...inner, watch: () => () => {}, claim: (request) => ((claims += 1), inner.claim(request)) },
    claims: () => claims,
  };
}

const waits = workflow('waits', async ({ token }: { token: string }) => void (await createHook({ token })));

it('a run that waits makes its worker look for others only where a claim has left some behind', async () => {
  const { store, claims } = countingClaims();
  runtime = createRuntime({ store, workflows: [waits], worker: { pollMs: POLL_MS } });
  await runtime.start(waits, { input: { token: 'first' } });
  await untilWaiting(1);
  const before = claims();
  await runtime.start(waits, { input: { token: 'second' } });
  await untilWaiting(2);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(claims()).toBe(before);
});

it('runs for which there was no room are taken when there is', async () => {
  const { store } = countingClaims();
  runtime = createRuntime({ store, workflows: [waits], worker: { pollMs: POLL_MS, concurrency: 1 } });
  const tokens = ['a', 'b', 'c', 'd'];
  const { start } = runtime;
  await Promise.all(tokens.map((token) => start(waits, { input: { token } })));
  await untilWaiting(4);
});
