import { setTimeout as delay } from 'node:timers/promises';
import type { Runtime } from 'everturn';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeOnServers } from '../support/server-places.ts';
import type { ServerPlace } from '../support/server-places.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import { openTraffic } from './traffic.ts';
import type { Traffic } from './traffic.ts';

const RUNS = 8;
/** A call that the network swallowed is given up within this time. */
const PATIENCE_MS = 7_500;

describeOnServers('workers whose network fails', (open) => {
  let place: ServerPlace;
  let proxy: TcpProxy;
  let traffic: Traffic;
  beforeEach(async () => {
    place = await open();
    proxy = await startTcpProxy(place.port);
    traffic = openTraffic({ store: place.storeAt(proxy.port), direct: place.storeAt(place.port) });
  }, 60_000);
  afterEach(async () => {
    proxy.loses = { toServer: false, toClient: false };
    proxy.cutsAnswer = () => false;
    await traffic.close();
    await proxy.close();
    await place.remove();
  });

  it('by lost answers record everything once', async () => {
    const ids = await traffic.start(RUNS);
    await traffic.bodies(RUNS);
    let answers = 0;
    proxy.cutsAnswer = () => (answers += 1) % 12 === 0;
    expect(await traffic.flaws(ids)).toEqual([]);
    expect(proxy.cuts).toBeGreaterThan(3);
  }, 90_000);

  it('by half-open connections go on with new ones', async () => {
    const ids = await traffic.start(RUNS);
    await traffic.bodies(RUNS);
    const asked = performance.now();
    proxy.deaden();
    await Promise.all(traffic.workers.map((worker) => untilAnswering(worker)));
    expect(performance.now() - asked).toBeLessThan(2 * PATIENCE_MS);
    expect(await traffic.flaws(ids)).toEqual([]);
  }, 90_000);

  it('by going silent for good close all the same', async () => {
    await traffic.start(RUNS);
    await traffic.bodies(RUNS);
    proxy.loses = { toServer: true, toClient: true };
    const asked = performance.now();
    await Promise.all(traffic.workers.map((worker) => worker.close({ graceMs: 100 })));
    expect(performance.now() - asked).toBeLessThan(2 * PATIENCE_MS);
  }, 90_000);

  it.each([['toServer'], ['toClient']] as const)(
    'by losing all that goes %s for a while say so within seconds, and go on afterwards',
    async (way) => {
      const ids = await traffic.start(RUNS);
      await traffic.bodies(RUNS);
      proxy.loses[way] = true;
      const [worker] = traffic.workers;
      const asked = performance.now();
      await expect(worker?.list()).rejects.toMatchObject({ code: 'store_unavailable', retryable: true });
      expect(performance.now() - asked).toBeLessThan(PATIENCE_MS);
      proxy.loses[way] = false;
      expect(await traffic.flaws(ids)).toEqual([]);
      expect(traffic.log.map(({ code }) => code)).toContain('store_unavailable');
    },
    90_000,
  );

  it('by delays of 400 ms, now and then, lose no lease and repeat nothing', async () => {
    const ids = await traffic.start(RUNS);
    await traffic.bodies(RUNS);
    const weather = setInterval(() => (proxy.delayMs = proxy.delayMs === 0 ? 200 : 0), 300);
    try {
      expect(await traffic.flaws(ids)).toEqual([]);
    } finally {
      clearInterval(weather);
    }
    expect(traffic.repeated()).toBe(0);
  }, 90_000);
});

/** Calls that fail are made again; none may hang. */
async function untilAnswering(runtime: Runtime): Promise<void> {
  for (;;) {
    const asked = performance.now();
    const answer = await runtime.list().then(
      () => true,
      (error: { code?: string }) => error.code,
    );
    expect(performance.now() - asked).toBeLessThan(PATIENCE_MS);
    if (answer === true) return;
    expect(answer).toBe('store_unavailable');
    await delay(100);
  }
}
