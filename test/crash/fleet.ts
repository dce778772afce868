/** What the tests of several processes, or several lives, on one file share. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createRuntime } from 'everturn';
import type { RunInfo } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { startModelServer } from '../../examples/model-server/server.ts';
import type { ModelServer } from '../../examples/model-server/server.ts';
import { startChild } from '../support/child.ts';
import type { Child } from '../support/child.ts';
import { startWitness } from '../support/witness.ts';
import type { Witness } from '../support/witness.ts';
import type { FleetMessage, FleetOptions } from './fleet-process.ts';

export interface Fleet {
  witness: Witness;
  model: ModelServer;
  /** A process on the fleet's file. */
  live(task: Omit<FleetOptions, 'file' | 'modelUrl' | 'witnessUrl'>): Child<FleetMessage>;
  /** All runs, as another process sees them. */
  runs(): Promise<RunInfo[]>;
  ended(): Promise<boolean>;
  /** Attempts of each step and tool, by key. */
  attempts(): Map<string, number[]>;
  /** See `stopApartFrom`. */
  stop(child: Child<FleetMessage>): Promise<void>;
  close(): Promise<void>;
}

export async function openFleet(options: { pacingMs: number }): Promise<Fleet> {
  const [witness, model] = await Promise.all([startWitness(), startModelServer(options)]);
  const folder = mkdtempSync(join(tmpdir(), 'everturn-fleet-'));
  const file = join(folder, 'runs.db');
  const living: Array<Child<FleetMessage>> = [];
  const reader = createRuntime({ store: sqliteStore(file), worker: false });
  const runs = async (): Promise<RunInfo[]> => (await reader.list({ limit: 500 })).items;
  return {
    witness,
    model,
    live(task) {
      const child = startChild<FleetMessage>(new URL('fleet-process.ts', import.meta.url), {
        ...task,
        file,
        modelUrl: model.baseURL,
        witnessUrl: witness.url,
      });
      living.push(child);
      return child;
    },
    runs,
    ended: async () => (await runs()).every(({ status }) => status === 'completed'),
    attempts: () => {
      const byKey = Map.groupBy(witness.records(), ({ key }) => key);
      return new Map([...byKey].map(([key, records]) => [key, records.map(({ attempt }) => attempt)]));
    },
    stop: (child) => stopApartFrom(file, child),
    close: async () => {
      for (const child of living) child.kill('SIGKILL');
      await Promise.all(living.map((child) => child.ended));
      await reader.close();
      await Promise.all([witness.close(), model.close()]);
      rmSync(folder, { recursive: true });
    },
  };
}

/** Stops a process (SIGSTOP) where it does not hold the write lock of the SQLite file: with it, it would stop all others too. */
export async function stopApartFrom(file: string, child: Pick<Child<unknown>, 'kill'>): Promise<void> {
  for (;;) {
    child.kill('SIGSTOP');
    if (isWritable(file)) return;
    child.kill('SIGCONT');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function isWritable(file: string): boolean {
  const db = new DatabaseSync(file);
  try {
    db.exec('PRAGMA busy_timeout = 50; BEGIN IMMEDIATE; ROLLBACK');
    return true;
  } catch {
    return false;
  } finally {
    db.close();
  }
}

/** Steps and tools of so many runs, half of them workflows of four steps, half agents with one tool. */
export function effectsOf(runs: number): number {
  return Math.ceil(runs / 2) * 4 + Math.floor(runs / 2);
}
