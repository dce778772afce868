import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeOnServers } from '../support/server-places.ts';
import type { ServerPlace } from '../support/server-places.ts';
import { openTraffic } from '../workers/traffic.ts';
import type { Traffic } from '../workers/traffic.ts';

const RUNS = 12;
const ROUNDS = 8;

describeOnServers('a server under live workers', (open, name) => {
  let place: ServerPlace;
  let traffic: Traffic;
  beforeEach(async () => {
    place = await open();
    const store = place.storeAt(place.port);
    traffic = openTraffic({ store, direct: store, bodyMs: 150 });
  }, 60_000);
  afterEach(async () => {
    await traffic.close();
    await place.remove();
  });

  it('that dies and comes back, over and over, loses nothing that it acknowledged', async () => {
    const ids = await traffic.start(RUNS);
    for (let round = 1; round <= ROUNDS; round += 1) {
      await traffic.bodies((round + 1) * RUNS);
      await place.stop();
      await delay(50 * round);
      await place.start();
    }
    expect(await traffic.flaws(ids)).toEqual([]);
    console.log(`${name}: ${ROUNDS} times, ${traffic.repeated()} of ${RUNS * 12} bodies ran again`);
  });

  it('that comes back as it was before leaves sound journals, and each run that lost something says so', async () => {
    const old = await traffic.start(RUNS);
    await traffic.bodies(3 * RUNS);
    await place.save();
    await traffic.bodies(7 * RUNS);
    const young = await traffic.start(RUNS);
    await traffic.bodies(9 * RUNS);
    const before = traffic.log.length;
    await place.restore();
    expect(await traffic.flaws(old)).toEqual([]);
    const lost = new Set(traffic.log.slice(before).flatMap(({ code, run }) => (code === 'lease_lost' ? [run] : [])));
    expect(old.filter((id) => !lost.has(id))).toEqual([]);
    for (const id of young) {
      await expect(traffic.client.getRun(id).result()).rejects.toMatchObject({ code: 'run_not_found' });
      expect(lost).toContain(id);
    }
    const later = await traffic.start(RUNS);
    expect(await traffic.flaws(later)).toEqual([]);
    const said = Object.groupBy(traffic.log.slice(before), ({ code, refusal }) => `${String(code)} ${String(refusal)}`);
    console.log(name, Object.fromEntries(Object.entries(said).map(([what, lines]) => [what, lines?.length])));
  });
});
