/** Runs that keep a store busy while something happens to it, and what must hold for each of them afterwards. */
import { setTimeout as delay } from 'node:timers/promises';
import { createRuntime, getWritable, step, workflow } from 'everturn';
import type { Logger, Runtime, Store } from 'everturn';
import { expect } from 'vitest';
import { collect } from '../support/collect.ts';
import { openStore } from '../support/open-store.ts';

const STEPS = 12;
const ORDER = Array.from({ length: STEPS }, (_, index) => index);

export interface LogLine {
  code: unknown;
  run: unknown;
  refusal: unknown;
  message: string;
}

export interface Traffic {
  /** Two workers on the store under test. */
  readonly workers: readonly Runtime[];
  /** Without a worker, on its own way to the store. */
  readonly client: Runtime;
  /** What the workers warned of. */
  readonly log: readonly LogLine[];
  /** Starts so many runs and answers their ids. */
  start(count: number): Promise<string[]>;
  /** Resolves when so many bodies have run. */
  bodies(count: number): Promise<void>;
  /** Waits until the runs have ended; what is wrong with them. */
  flaws(ids: readonly string[]): Promise<string[]>;
  /** How often bodies ran that had run before. */
  repeated(): number;
  close(): Promise<void>;
}

/** As for `openStore`, or what makes one. */
export type StoreSource = string | (() => Store);

export interface TrafficOptions {
  /** Of each worker, and of the client. */
  store: StoreSource;
  direct: StoreSource;
  leaseMs?: number;
  bodyMs?: number;
}

export function openTraffic({ store, direct, leaseMs = 2_000, bodyMs = 40 }: TrafficOptions): Traffic {
  const ran = new Map<string, number>();
  let all = 0;
  const flow = workflow('flow', async (id: string) => {
    const writer = getWritable<number>().getWriter();
    const nonces: string[] = [];
    for (const index of ORDER) {
      const body = async (): Promise<string> => {
        const key = `${id}/${index}`;
        ran.set(key, (ran.get(key) ?? 0) + 1);
        all += 1;
        await delay(bodyMs * (0.5 + Math.random()));
        return crypto.randomUUID();
      };
      nonces.push(await step(`s${index}`, body));
      await writer.write(index);
    }
    return nonces;
  });
  const log: LogLine[] = [];
  const keep: Logger['warn'] = ({ code, run, refusal }, message) => void log.push({ code, run, refusal, message });
  const logger: Logger = { debug() {}, info() {}, warn: keep, error: keep };
  const worker = (): Runtime =>
    createRuntime({ store: toStore(store), workflows: [flow], worker: { leaseMs, pollMs: 500 }, logger });
  const workers = [worker(), worker()];
  const client = createRuntime({ store: toStore(direct), workflows: [flow], worker: false, logger });
  return {
    workers,
    client,
    log,
    async start(count) {
      const ids = Array.from({ length: count }, () => `run_${crypto.randomUUID()}`);
      await Promise.all(ids.map((id) => client.start(flow, { id, input: id })));
      return ids;
    },
    bodies: (count) => expect.poll(() => all, { timeout: 60_000, interval: 10 }).toBeGreaterThanOrEqual(count),
    async flaws(ids) {
      const found = await Promise.all(ids.map((id) => flawsOf(client, id)));
      return found.flat();
    },
    repeated: () => [...ran.values()].filter((times) => times > 1).length,
    async close() {
      await Promise.all([...workers, client].map((runtime) => runtime.close({ graceMs: 500 })));
    },
  };
}

function toStore(source: StoreSource): Store {
  return typeof source === 'string' ? openStore(source) : source();
}

/** Its result is what its journal says, of one completion for each step; what it wrote stands there once and in order. */
async function flawsOf(client: Runtime, id: string): Promise<string[]> {
  const run = client.getRun<string[]>(id);
  // The client may meet what the workers met; it asks again, as any client does.
  const status = (): Promise<unknown> => run.status.catch((error: { code?: string }) => error.code);
  await expect.poll(status, { timeout: 60_000, interval: 100, message: `the status of ${id}` }).toBe('completed');
  const events = await run.events();
  const completed = events.filter(({ type }) => type === 'step_completed');
  const flaws: string[] = [];
  if (completed.map(({ key }) => key).join() !== ORDER.map((index) => `s${index}`).join())
    flaws.push(`${id} recorded ${completed.map(({ key }) => key).join()}`);
  const [recorded, result] = [completed.map(({ value }) => value), await run.result()];
  if (recorded.join() !== result.join())
    flaws.push(`${id} has recorded ${recorded.join()} and returned ${result.join()}`);
  const written = await collect(run.stream<number>({ follow: false }));
  if (written.join() !== ORDER.join()) flaws.push(`${id} wrote ${written.join()}`);
  return flaws;
}
