import { setTimeout as delay } from 'node:timers/promises';
import { createRuntime, DurableError, getWritable, step, workflow } from 'everturn';
import type { Logger, Runtime } from 'everturn';
import { upstashStore } from 'everturn/upstash';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeUnless } from '../support/describe-unless.ts';
import { noRedis, startRedis } from '../support/redis.ts';
import type { RedisServer } from '../support/redis.ts';
import { startUpstashProxy } from '../support/upstash-proxy.ts';
import type { Fate, UpstashProxy } from '../support/upstash-proxy.ts';

const CHUNKS = 500;
const LOST_PART = 0.15;
const KILL_EVERY_MS = 300;

const counting = workflow('counting', () =>
  step('count', async () => {
    const writer = getWritable<number>().getWriter();
    for (let count = 0; count < CHUNKS; count += 1) {
      await writer.write(count);
      if (count % 5 === 0) await delay(10);
    }
    writer.releaseLock();
  }),
);

/** The same sequence each time. */
function lossy(): () => Fate {
  let state = 7;
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return () => {
    if (random() < LOST_PART) return 'drop request';
    return random() < LOST_PART ? 'drop answer' : 'go';
  };
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

describeUnless(
  noRedis,
  'a network that loses 15% of requests and of answers, and all subscriptions every 300 ms',
  () => {
    let server: RedisServer;
    let proxy: UpstashProxy;
    let runtimes: Runtime[];
    beforeEach(async () => {
      server = await startRedis();
      proxy = await startUpstashProxy(server.url);
      runtimes = [];
    });
    afterEach(async () => {
      proxy.fate = () => 'go';
      for (const runtime of runtimes) await runtime.close();
      await proxy.close();
      await server.remove();
    });

    const open = (worker: boolean): Runtime => {
      const store = upstashStore({ url: proxy.url, token: proxy.token });
      const runtime = createRuntime({
        store,
        workflows: [counting],
        logger: silent,
        ...(worker ? {} : { worker: false }),
      });
      runtimes.push(runtime);
      return runtime;
    };
    const readAll = async (runtime: Runtime, id: string): Promise<number[]> => {
      const found: number[] = [];
      while (found.length < CHUNKS) {
        try {
          for await (const count of runtime.getRun(id).stream<number>({ from: found.length })) found.push(count);
          break;
        } catch (error) {
          if (!DurableError.is(error, 'store_unavailable')) throw error;
          // What the network lost the reader asks for again, where it was.
          await delay(20);
        }
      }
      return found;
    };

    it('leaves 500 chunks exactly once and in order to their writer, a live reader and one that reads again', async () => {
      const writer = open(true);
      const reader = open(false);
      await writer.start(counting, { id: 'r' });
      proxy.fate = lossy();
      const killing = setInterval(() => proxy.killSubscriptions(), KILL_EVERY_MS);
      try {
        const live = await readAll(reader, 'r');
        const own = await readAll(writer, 'r');
        const again = await readAll(reader, 'r');
        const expected = Array.from({ length: CHUNKS }, (_, count) => count);
        expect([live, own, again]).toEqual([expected, expected, expected]);
        expect(proxy.counted.subscriptions).toBeGreaterThan(2);
      } finally {
        clearInterval(killing);
      }
    }, 60_000);
  },
);
