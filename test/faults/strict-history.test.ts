/** The sweep of which test/agent/run-history.test.ts has samples: every chunk of a run of two segments, up to its last one. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ModelServer } from '../../examples/model-server/server.ts';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { approveAll, begin, chunksSeen, goOn, providers, settled, startWorker } from '../agent/history-kit.ts';
import type { Process } from '../agent/history-kit.ts';
import { pooled } from '../crash/trips.ts';
import { killable } from '../support/killable.ts';

type Fate = (at: { count: number; process: (store?: Process['store']) => Process }) => Promise<void>;

/** What happens after so many chunks; each goes on with another message. */
const fates: Record<string, Fate> = {
  'a stop': async ({ count, process }) => {
    const one = process();
    const run = await begin(one);
    const approved = approveAll(one, run.id);
    await chunksSeen(one.runtime, run.id, count);
    await run.cancel();
    await settled(run);
    await approved;
    await goOn(one);
  },
  'a message that is steered in': async ({ count, process }) => {
    const one = process();
    const run = await begin(one);
    const approved = approveAll(one, run.id);
    await chunksSeen(one.runtime, run.id, count);
    const steered = await one.runtime.start(one.agent, { prompt: 'hurry up', thread: 't', whenBusy: 'steer' });
    await Promise.all([run.result(), steered.result(), approved]);
    await goOn(one);
  },
  'a message that interrupts': async ({ count, process }) => {
    const one = process();
    const run = await begin(one);
    const approved = approveAll(one, run.id);
    await chunksSeen(one.runtime, run.id, count);
    await goOn(one, 'interrupt');
    await Promise.all([settled(run), approved]);
    await goOn(one);
  },
  'a death': async ({ count, process }) => {
    const { other, run, approved } = await killedAt({ count, process });
    await other.runtime.getRun(run).result();
    await approved;
    await goOn(other);
  },
  'a death, and then a message that interrupts': async ({ count, process }) => {
    const { other, run, approved } = await killedAt({ count, process });
    await goOn(other, 'interrupt');
    await Promise.all([settled(other.runtime.getRun(run)), approved]);
    await goOn(other);
  },
};

/** A run whose process is dead, and the process that takes it over. */
async function killedAt({ count, process }: Parameters<Fate>[0]) {
  const store = memoryStore();
  const dying = killable(store);
  const one = process(dying.store);
  const { id } = await begin(one);
  void approveAll(one, id);
  await chunksSeen(one.runtime, id, count);
  dying.kill();
  const other = process(store);
  return { other, run: id, approved: approveAll(other, id) };
}

/** All that happens to one run takes a second or two; what takes so long does not end. */
const MOST_MS = 45_000;

function within(ms: number, work: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`has not ended after ${ms} ms`)), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

describe.each(providers)('the history that $name gets at every chunk', ({ start, model }) => {
  let server: ModelServer;
  let chunks = 0;
  beforeAll(async () => {
    server = await start({ pacingMs: 1 });
    const one = startWorker(model(server.baseURL));
    const run = await begin(one);
    const approved = approveAll(one, run.id);
    for await (const _ of run.stream()) chunks += 1;
    await approved;
    await one.runtime.close({ graceMs: 0 });
    expect(server.log).toHaveLength(3);
  });
  afterAll(() => server.close());

  it.each(Object.entries(fates))('is valid after %s', async (_, fate) => {
    expect(chunks).toBeGreaterThan(40);
    const flaws: string[] = [];
    const counts = Array.from({ length: chunks }, (_, index) => index + 1);
    const at = async (count: number): Promise<void> => {
      const processes: Process[] = [];
      const process = (store?: Process['store']): Process => {
        const started = startWorker(model(server.baseURL), store === undefined ? {} : { store });
        processes.push(started);
        return started;
      };
      await within(MOST_MS, fate({ count, process })).catch(async (error: Error) => {
        const { items = [] } = (await processes.at(-1)?.runtime.list()) ?? {};
        const runs = items.map(({ id, status }) => `${id} ${status}`).join(', ');
        flaws.push(`chunk ${count}: ${error.message} (${runs})`);
      });
      await Promise.all(processes.map(({ runtime }) => runtime.close({ graceMs: 0 })));
    };
    // Several at once, since the dead are waited for.
    await pooled(counts, { width: 4, run: at });
    expect(flaws).toEqual([]);
    expect(server.log.filter(({ status }) => status !== 200).map(({ status, error }) => [status, error])).toEqual([]);
  });
});
