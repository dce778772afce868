/** What the tests of several processes, or several lives, on one file share. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRuntime } from 'everturn';
import type { Run } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { startModelServer } from '../../examples/model-server/server.ts';
import type { ModelServer } from '../../examples/model-server/server.ts';
import { startChild } from '../support/child.ts';
import type { Child } from '../support/child.ts';
import { startWitness } from '../support/witness.ts';
import type { Witness } from '../support/witness.ts';
import type { FleetMessage, FleetTask } from './fleet-process.ts';

export interface Fleet {
  witness: Witness;
  model: ModelServer;
  /** A process on the fleet's file. */
  live(task: Omit<FleetTask, 'file' | 'modelUrl' | 'witnessUrl'>): Child<FleetMessage>;
  /** All runs, as another process sees them. */
  runs(): Promise<Run[]>;
  ended(): Promise<boolean>;
  /** Attempts of each step and tool, by key. */
  attempts(): Map<string, number[]>;
  close(): Promise<void>;
}

export async function openFleet(options: { pacingMs: number }): Promise<Fleet> {
  const [witness, model] = await Promise.all([startWitness(), startModelServer(options)]);
  const file = join(mkdtempSync(join(tmpdir(), 'everturn-fleet-')), 'runs.db');
  const living: Array<Child<FleetMessage>> = [];
  const reader = createRuntime({ store: sqliteStore(file), worker: false });
  const runs = async (): Promise<Run[]> => (await reader.list({ limit: 500 })).items;
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
    close: async () => {
      for (const child of living) child.kill('SIGKILL');
      await reader.close();
      await Promise.all([witness.close(), model.close()]);
    },
  };
}

/** Steps and tools of so many runs, half of them workflows of four steps, half agents with one tool. */
export function effectsOf(runs: number): number {
  return Math.ceil(runs / 2) * 4 + Math.floor(runs / 2);
}
