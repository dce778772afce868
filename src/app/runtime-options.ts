/** What a runtime is created with, and what is wrong with it: misuse is told before anything has an effect. */

import { checkBudget } from '../agent/budget-settings.ts';
import type { AgentDefaults, Budget } from '../agent/budget-settings.ts';
import { DurableAgent } from '../agent/durable-agent.ts';
import { assertPriced } from '../agent/priced-models.ts';
import { checkPrices } from '../agent/turn/prices.ts';
import type { Prices } from '../agent/turn/prices.ts';
import type { Clock } from '../runtime/clock.ts';
import { MAX_VALUE_BYTES } from '../runtime/codec.ts';
import type { Application } from '../runtime/context.ts';
import { DurableError } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import type { Logger } from '../runtime/logger.ts';
import type { Registrable } from '../runtime/registrable.ts';
import { Registry } from '../runtime/registry.ts';
import type { Store } from '../runtime/store.ts';
import type { WorkerOptions } from '../runtime/worker-options.ts';
import type { Workflow } from '../runtime/workflow.ts';
import type { OnDue } from './due-notices.ts';
import type { StreamOptions } from './stream-options.ts';

export interface RuntimeOptions {
  /** Where runs live. The runtime closes it. */
  store: Store;
  /** Agents by name; the key is the name. */
  agents?: Record<string, Registrable>;
  /** Workflows by name, or a list of them under their own names. */
  workflows?: Record<string, Workflow<never>> | ReadonlyArray<Workflow<never>>;
  /**
   * Version of the code. Runs of plain workflows go on only with the version that started them; what is left of others is counted and logged when
   * the runtime opens. Agents follow the newest. Default '1'.
   */
  version?: string;
  /**
   * What hook tokens and input hashes are signed with: long, random, and kept outside the store. A list, newest first, to change it: the first
   * one signs; runs that began under another one go on under it, as long as it is in the list. Default: one that the store keeps.
   */
  secret?: string | readonly string[];
  /** `debug, info, warn, error`, each `(fields, message)`; a pino logger fits. Default: warnings and errors on the console. */
  logger?: Logger;
  /**
   * Where the routes of `createApp` are reached from outside, with their base path: "https://shop.example/api". The URLs of webhooks begin
   * with it; without it they are paths.
   */
  publicUrl?: string;
  /** false: this process starts, reads and resumes, but executes nothing. */
  worker?: WorkerOptions | false;
  /** How much runs, threads and tenants may use before a person is asked how to go on. An agent's own `durable.budget` goes before, scope by scope. */
  budget?: Budget;
  /** What models cost, in US dollars per million tokens: what the ledger and `budget.usd` are counted by. */
  prices?: Prices;
  /** What all runs of a tenant share, whatever they are of: so one tenant cannot keep the workers from the others. */
  limits?: {
    /** How many runs of one tenant execute at once, over all processes. */
    perTenant?: number;
  };
  /**
   * Told of each run that this process leaves to others: when it waits for a time, yields, or was started or woken and not claimed here. For
   * processes that nobody polls for, with `worker: { background: false }`: see `qstashDelivery`.
   */
  onDue?: OnDue;
  /** What streams may hold, and how much of it is kept. */
  streams?: StreamOptions;
  /**
   * Bytes of one value: a result of a step or a tool, an input, a payload, a chunk. Values from 64 KB on stand out of line, in parts. Default, and
   * most: 64 MB. What gathers many values (the result of a run, what an agent has added) may be four times as large.
   */
  maxValueBytes?: number;
  /** For tests. */
  clock?: Clock;
  ids?: Ids;
}

/** All that there are: the type keeps the list whole. */
const KNOWN: Record<keyof RuntimeOptions, true> = {
  store: true,
  agents: true,
  workflows: true,
  version: true,
  secret: true,
  logger: true,
  publicUrl: true,
  worker: true,
  budget: true,
  prices: true,
  limits: true,
  onDue: true,
  streams: true,
  maxValueBytes: true,
  clock: true,
  ids: true,
};
const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
const KNOWN_OF_WORKER: Record<keyof WorkerOptions, true> = {
  concurrency: true,
  leaseMs: true,
  pollMs: true,
  warm: true,
  storeTimeoutMs: true,
  background: true,
  queues: true,
};
const WORKER_NUMBERS = ['concurrency', 'leaseMs', 'pollMs', 'storeTimeoutMs'] as const;

/** Throws `invalid_argument`, with the right form. Names and secrets are looked at by those below. */
export function checkOptions(options: RuntimeOptions): void {
  const { store, logger, version, worker, publicUrl } = (options ?? {}) as Partial<RuntimeOptions>;
  if (typeof store !== 'object' || store === null) {
    throw invalid('without a store', 'Write createRuntime({ store: sqliteStore("app.db"), ... }).');
  }
  checkNames(options, { known: KNOWN, prefix: '' });
  if (version !== undefined && (typeof version !== 'string' || version === '' || version === '*')) {
    throw invalid(
      `with the version ${JSON.stringify(version)}`,
      'Write a text such as "2", or leave it out; "*" stands for any.',
    );
  }
  if (
    publicUrl !== undefined &&
    (typeof publicUrl !== 'string' || !/^https?:$/.test(URL.parse(publicUrl)?.protocol ?? ''))
  ) {
    throw invalid(
      `with the public URL ${JSON.stringify(publicUrl)}`,
      'Write where the routes of createApp are reached, with their base path: "https://shop.example/api".',
    );
  }
  checkLogger(logger);
  checkAgentDefaults(options);
  if (worker !== undefined && worker !== false) checkWorker(worker);
  valueBytesOf(options);
}

/** Throws `invalid_argument`. */
export function valueBytesOf({ maxValueBytes = MAX_VALUE_BYTES }: Pick<RuntimeOptions, 'maxValueBytes'>): number {
  if (Number.isSafeInteger(maxValueBytes) && maxValueBytes >= 1 && maxValueBytes <= MAX_VALUE_BYTES)
    return maxValueBytes;
  throw invalid(
    `with maxValueBytes ${String(maxValueBytes)}`,
    `Write a whole number of bytes up to ${MAX_VALUE_BYTES}, or leave it out.`,
  );
}

function checkAgentDefaults({ budget, prices }: RuntimeOptions): void {
  if (prices !== undefined) checkPrices(prices, 'prices');
  if (budget !== undefined) checkBudget(budget, 'budget');
}

/** Code without types would not hear of a name that is spelled wrong. */
function checkNames(options: object, { known, prefix }: { known: Record<string, true>; prefix: string }): void {
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(known, name));
  if (unknown === undefined) return;
  throw invalid(
    `with the option "${prefix}${unknown}": there is none of that name`,
    `Options: ${Object.keys(known).join(', ')}.`,
  );
}

function checkLogger(logger: Logger | undefined): void {
  const missing = logger === undefined ? undefined : LEVELS.find((level) => typeof logger?.[level] !== 'function');
  if (missing !== undefined) {
    throw invalid(
      `with a logger that has no "${missing}"`,
      'Pass an object with debug, info, warn and error, each (fields, message): a pino logger fits.',
    );
  }
}

function checkWorker(worker: WorkerOptions): void {
  checkNames(worker, { known: KNOWN_OF_WORKER, prefix: 'worker.' });
  for (const name of WORKER_NUMBERS) {
    const value: unknown = worker[name];
    if (value === undefined || (typeof value === 'number' && value > 0)) continue;
    throw invalid(
      `with worker.${name} ${JSON.stringify(value)}`,
      'Write a number greater than 0, or leave it out. A process that executes nothing has worker: false.',
    );
  }
}

/** Throws `duplicate_name` and `invalid_argument`. */
export function registryOf(options: RuntimeOptions): Registry {
  const { agents = {}, workflows = {}, version = '1', limits = {}, budget, prices } = options;
  if (Array.isArray(agents) || isRegistrable(agents)) {
    throw invalid(
      'with agents that have no names',
      'Write createRuntime({ agents: { support } }): the key is the name.',
    );
  }
  const registry = new Registry(version, limits);
  for (const [name, agent] of Object.entries(agents)) {
    registry.add(name, checked(agent, `agents.${name}`));
    if (agent instanceof DurableAgent) assertPriced(agent, { name, shared: { budget, prices } });
  }
  const named = Array.isArray(workflows)
    ? workflows.map((each: Workflow<never>, index) => [each?.name, checked(each, `workflows[${index}]`)] as const)
    : Object.entries(workflows as Record<string, Workflow<never>>).map(
        ([name, each]) => [name, checked(each, `workflows.${name}`)] as const,
      );
  for (const [name, workflow] of named) registry.add(name, workflow);
  return registry;
}

function isRegistrable(value: unknown): boolean {
  return typeof (value as Registrable | null | undefined)?.toWorkflow === 'function';
}

function checked<T extends Registrable>(value: T, where: string): T {
  if (isRegistrable(value)) return value;
  throw invalid(
    `with ${where}: it is neither an agent nor a workflow`,
    'Agents are made by new DurableAgent({ ... }), workflows by workflow("name", async (input) => { ... }).',
  );
}

/** What each run is told. */
export function applicationOf({ publicUrl, budget, prices }: RuntimeOptions): Application {
  return { publicUrl: publicUrl?.replace(/\/+$/, ''), agentDefaults: { budget, prices } satisfies AgentDefaults };
}

/** Newest first; empty if the store is to keep one. Throws `invalid_argument`. */
export function secretsOf({ secret }: RuntimeOptions): readonly string[] {
  if (secret === undefined) return [];
  const secrets = typeof secret === 'string' ? [secret] : secret;
  const isList = Array.isArray(secrets) && secrets.length > 0;
  if (isList && secrets.every((each) => typeof each === 'string' && each !== '')) return secrets;
  throw invalid(
    'with this "secret": it is empty or no string',
    'Pass a long random string, a list of them (the newest first), or leave it out: then the store keeps one.',
  );
}

function invalid(what: string, form: string): DurableError {
  return new DurableError('invalid_argument', `Cannot create a runtime ${what}. ${form}`);
}
