import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRuntime, getStepMetadata, step, workflow } from 'everturn';
import type { Runtime, Workflow } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { collectLogs } from '../../src/testing/logs.ts';
import type { LogLine } from '../../src/testing/logs.ts';
import { effectsOf, openFleet } from './fleet.ts';
import type { Fleet } from './fleet.ts';

const folder = mkdtempSync(join(tmpdir(), 'everturn-two-'));
afterAll(() => rmSync(folder, { recursive: true }));

let fleet: Fleet | undefined;
const runtimes: Runtime[] = [];
afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close({ graceMs: 0 })));
  await fleet?.close();
  fleet = undefined;
});

describe('two processes on one file', () => {
  const RUNS = 16;

  it('share the work, and none of it is done twice', async () => {
    fleet = await openFleet({ pacingMs: 1 });
    const { live, attempts, ended, witness } = fleet;
    const second = live({ runs: 0, workMs: 60, concurrency: 4 });
    await second.message(({ kind }) => kind === 'open');
    const first = live({ runs: RUNS, workMs: 60, concurrency: 4 });
    await expect.poll(() => attempts().size, { interval: 20, timeout: 20_000 }).toBe(effectsOf(RUNS));
    await expect.poll(ended, { interval: 20, timeout: 20_000 }).toBe(true);
    expect([...attempts().values()].filter((of) => of.join() !== '1')).toEqual([]);
    const workers = new Set(witness.records().map(({ pid }) => pid));
    expect(workers).toEqual(new Set([first.pid, second.pid]));
    expect([...first.messages, ...second.messages].filter(({ kind }) => kind === 'warning')).toEqual([]);
  }, 60_000);

  it('leave the runs of the other alone until their leases end; then what the dead one held goes on', async () => {
    fleet = await openFleet({ pacingMs: 1 });
    const { live, attempts, ended, witness } = fleet;
    const leaseMs = 1_500;
    const first = live({ runs: RUNS, workMs: 700, leaseMs });
    await first.message(({ kind }) => kind === 'started');
    await expect.poll(() => witness.records().length, { interval: 5, timeout: 20_000 }).toBeGreaterThan(RUNS / 2);
    const second = live({ runs: 0, workMs: 20, leaseMs });
    await second.message(({ kind }) => kind === 'open');
    first.kill('SIGKILL');
    const diedAt = Date.now();
    await first.ended;
    const recorded = new Set(witness.records().map(({ key }) => key));
    await expect.poll(ended, { interval: 20, timeout: 20_000 }).toBe(true);

    const claims = second.messages.flatMap((message) => (message.kind === 'claimed' ? [message] : []));
    const firstClaims = Map.groupBy(claims, ({ run }) => run);
    const lateness = Math.max(...[...firstClaims.values()].map(([claim]) => (claim?.at ?? Infinity) - diedAt));
    console.log(
      `${firstClaims.size} runs went on, the last one ${lateness} ms after the death (leases of ${leaseMs} ms)`,
    );
    // A second is what it takes on a machine of its own.
    expect(lateness).toBeLessThan(leaseMs + 4_000);
    expect(attempts().size).toBe(effectsOf(RUNS));
    for (const [key, of] of attempts())
      expect([key, of.join()]).toEqual([
        key,
        recorded.has(key) ? expect.stringMatching(/^1(,2)?$/) : expect.stringMatching(/^[12]$/),
      ]);
  }, 60_000);
});

describe('a process that is stopped for longer than its leases', () => {
  const RUNS = 10;

  it('writes nothing more to the runs that another process has finished meanwhile', async () => {
    fleet = await openFleet({ pacingMs: 1 });
    const { live, stop, runs, attempts, ended, witness } = fleet;
    const first = live({ runs: RUNS, workMs: 300, leaseMs: 2_000 });
    await first.message(({ kind }) => kind === 'started');
    await expect.poll(() => witness.records().length, { interval: 5, timeout: 20_000 }).toBeGreaterThan(RUNS / 2);
    await stop(first);
    const second = live({ runs: 0, workMs: 20, leaseMs: 2_000 });
    await expect.poll(ended, { interval: 20, timeout: 20_000 }).toBe(true);
    const before = await runs();
    first.kill('SIGCONT');
    await expect.poll(() => first.messages.some(({ kind }) => kind === 'warning'), { timeout: 10_000 }).toBe(true);
    first.kill('SIGTERM');
    expect((await first.ended).code).toBe(0);
    expect(await runs()).toEqual(before);
    expect(attempts().size).toBe(effectsOf(RUNS));
    for (const [key, of] of attempts())
      // One that was stopped acts late, but never again under the same number.
      expect([key, new Set(of).size]).toEqual([key, of.length]);
    second.kill('SIGTERM');
    expect((await second.ended).code).toBe(0);
  }, 60_000);
});

describe('two runtimes in one process on one file', () => {
  /** Each step lasts until it is let go; tells who ran it. */
  function slowFlow() {
    const ran: string[] = [];
    const gates: Array<() => void> = [];
    const make = (who: string) =>
      workflow('flow', async (name: string) => {
        for (const part of ['a', 'b']) {
          await step(part, async () => {
            ran.push(`${who} ${name} ${part}${getStepMetadata().attempt}`);
            await new Promise<void>((resolve) => gates.push(resolve));
          });
        }
        return name;
      });
    return { ran, gates, make, release: () => gates.splice(0).forEach((open) => open()) };
  }

  function open(file: string, flow: Workflow<string>): { runtime: Runtime; logs: LogLine[] } {
    const logs: LogLine[] = [];
    const runtime = createRuntime({ store: sqliteStore(file), workflows: [flow], logger: collectLogs(logs) });
    runtimes.push(runtime);
    return { runtime, logs };
  }

  it('count as two: the one that opens later does not take what the first one runs', async () => {
    const file = join(folder, 'beside.db');
    const { ran, gates, make, release } = slowFlow();
    const old = make('old');
    const first = open(file, old);
    const run = await first.runtime.start(old, { id: 'x', input: 'x' });
    await expect.poll(() => gates.length).toBe(1);
    const young = make('new');
    const second = open(file, young);
    const other = await second.runtime.start(young, { id: 'y', input: 'y' });
    await expect.poll(() => gates.length).toBe(2);
    expect(ran).toEqual(['old x a1', 'new y a1']);
    release();
    await expect.poll(() => gates.length).toBe(2);
    release();
    expect(await Promise.all([run.result(), other.result()])).toEqual(['x', 'y']);
    expect(ran.toSorted()).toEqual(['new y a1', 'new y b1', 'old x a1', 'old x b1']);
    expect([...first.logs, ...second.logs].filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
  });

  it('as when a dev server reloads: what the old one lets go of goes on in the new one at its next step', async () => {
    const file = join(folder, 'reload.db');
    const { ran, gates, make, release } = slowFlow();
    const old = make('old');
    const first = open(file, old);
    await first.runtime.start(old, { id: 'x', input: 'x' });
    await expect.poll(() => gates.length).toBe(1);
    const second = open(file, make('new'));
    await second.runtime.list();
    const closing = first.runtime.close();
    release();
    await closing;
    await expect.poll(() => ran, { interval: 5 }).toEqual(['old x a1', 'new x b1']);
    release();
    expect(await second.runtime.getRun('x').result()).toBe('x');
    expect(second.logs.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
  });
});
