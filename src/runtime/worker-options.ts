/** How a process executes runs. */

import type { Clock } from './clock.ts';
import type { Application } from './context.ts';
import type { Ids } from './ids.ts';
import type { Keyring } from './keyring.ts';
import type { Logger } from './logger.ts';
import type { Registry } from './registry.ts';
import type { Store } from './store.ts';
import type { StreamSettings } from './upkeep.ts';

export interface WorkerOptions {
  /** Runs that execute at once. Default 200. */
  concurrency?: number;
  /** Default 15,000. Takeover after a crash takes at most this and a poll. */
  leaseMs?: number;
  /** Longest time between two looks for due runs. Default 1,000, or as long as the store wants one that finds nothing to wait. */
  pollMs?: number;
  /** Suspended continuations that are kept; `max: 0` for none. Default 64 for 30,000 ms. */
  warm?: { max: number; ms: number };
  /** Time-out of a call of the store. Default 3,000. */
  storeTimeoutMs?: number;
  /** false: runs execute only while `runtime.drive` or a handler drives them. Default true. */
  background?: boolean;
  /**
   * What this process executes of what it has registered: names of workflows and agents; the rest it starts, and others execute it.
   * `"invoice@1"` stands for the runs that version 1 of a workflow has begun: they go on with the code that is here. Default: all that is
   * registered, in the runtime's version.
   */
  queues?: readonly string[];
}

export const WORKER_DEFAULTS: Required<Omit<WorkerOptions, 'queues'>> = {
  concurrency: 200,
  leaseMs: 15_000,
  pollMs: 1_000,
  warm: { max: 64, ms: 30_000 },
  storeTimeoutMs: 3_000,
  background: true,
};

export interface WorkerParts {
  store: Store;
  clock: Clock;
  ids: Ids;
  logger: Logger;
  registry: Registry;
  /** That it claims from. */
  queues: readonly string[];
  streams?: StreamSettings;
  /** Of one value that a run records. */
  maxValueBytes: number;
  application?: Application;
  /** Loaded before the worker opens. */
  keys: Keyring;
  /** A run was left to whoever claims it from `dueAt` on. */
  left?: (due: { run: string; dueAt: number }) => void;
  /** Nothing is due and nothing executes. */
  idle?: (nextDueInMs: number | null) => void;
}
