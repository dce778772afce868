import { setTimeout as delay } from 'node:timers/promises';
import { createRuntime, getWritable, step, workflow } from 'everturn';
import { redisStore } from 'everturn/redis';
import { expect, it } from 'vitest';
import { describeUnless } from '../support/describe-unless.ts';
import { noRedis, startRedis } from '../support/redis.ts';

const RUNS = 24;
const STEPS = 24;
const KILLS = 3;
/** Some dozens of commits. */
const LOST_BYTES = 8_000;

/** Bodies by key: how often each ran. */
function counting() {
  const bodies = new Map<string, number>();
  const flow = workflow('flow', async (name: string) => {
    const values: number[] = [];
    for (let index = 0; index < STEPS; index += 1) {
      values.push(
        await step(`s${index}`, async () => {
          const key = `${name}/${index}`;
          bodies.set(key, (bodies.get(key) ?? 0) + 1);
          await delay(40);
          return index;
        }),
      );
      const writer = getWritable<number>().getWriter();
      await writer.write(index);
      writer.releaseLock();
    }
    return values;
  });
  return { bodies, flow };
}

const VALUES = Array.from({ length: STEPS }, (_, index) => index);

describeUnless(noRedis, 'a Redis that is killed under load, with its file synced once a second', () => {
  it.each([
    ['loses nothing', 0],
    ['loses what it acknowledged last', LOST_BYTES],
  ])(
    'and %s comes back to journals without a gap, and each run ends as if nothing had been',
    async (_, lostBytes) => {
      const server = await startRedis({ appendonly: 'yes', appendfsync: 'everysec' });
      const { bodies, flow } = counting();
      const runtime = createRuntime({
        store: redisStore({ url: server.url }),
        workflows: [flow],
        worker: { leaseMs: 1_500 },
        logger: { debug() {}, info() {}, warn() {}, error() {} },
      });
      try {
        const ids = Array.from({ length: RUNS }, (_, index) => `run_${index}`);
        await Promise.all(ids.map((id) => runtime.start(flow, { id, input: id })));
        for (let kill = 0; kill < KILLS; kill += 1) {
          await delay(300 + 60 * kill);
          await server.kill({ lostBytes });
          await delay(50);
          await server.restart();
        }
        const statuses = async (): Promise<Set<string>> =>
          new Set((await runtime.list({ limit: 100 }).catch(() => ({ items: [] }))).items.map(({ status }) => status));
        await expect.poll(statuses, { timeout: 40_000, interval: 200 }).toEqual(new Set(['completed']));
        const { items } = await runtime.list({ limit: 100 });
        expect(items).toHaveLength(RUNS);
        for (const { id } of items) {
          const run = runtime.getRun<number[]>(id);
          expect(await run.result()).toEqual(VALUES);
          const completed = (await run.events()).filter(({ type }) => type === 'step_completed');
          expect(completed.map(({ key }) => key)).toHaveLength(STEPS);
          expect(new Set(completed.map(({ key }) => key)).size).toBe(STEPS);
          const chunks: number[] = [];
          for await (const chunk of run.stream<number>({ follow: false })) chunks.push(chunk);
          expect(chunks).toEqual(VALUES);
        }
        if (lostBytes > 0) expect([...bodies.values()].some((times) => times > 1)).toBe(true);
        const again = [...bodies.values()].filter((times) => times > 1).length;
        console.log(`${again} of ${bodies.size} bodies ran more than once`);
        expect(bodies.size).toBe(RUNS * STEPS);
        expect(Math.max(...bodies.values())).toBeLessThanOrEqual(1 + KILLS);
      } finally {
        await runtime.close({ graceMs: 100 });
        await server.remove();
      }
    },
    60_000,
  );
});
