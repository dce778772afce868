/** Limits as workflows and agents are given them, and as the store keeps them. */

import { durationMs } from './duration.ts';
import type { Duration } from './duration.ts';
import { DurableError } from './errors.ts';
import type { Limit, LimitUse, Run } from './store.ts';

/** What a limit's `key` is told beside the input. */
export interface LimitedRun {
  id: string;
  thread: string | null;
  tenant: string | null;
  attributes: Readonly<Record<string, string>>;
}

/** Divides what is limited: runs with equal answers share the limit. Called once, when a run is started. Tenants are not told apart by it. */
export type LimitKey<INPUT> = (input: INPUT, run: LimitedRun) => string;

export interface ConcurrencyLimit<INPUT = unknown> {
  /** How many runs may execute at once, over all processes. Those that wait, for a person or a time, do not count. */
  limit: number;
  key?: LimitKey<INPUT>;
}

export interface RateLimit<INPUT = unknown> {
  /** How many runs may begin in a window. */
  limit: number;
  /** The length of a window, which begins with the first run after the last one ended: milliseconds, or text such as "1m". */
  per: Duration;
  key?: LimitKey<INPUT>;
}

/** What is blocked waits, first come, first served. Numbers may differ between versions: those of the run that came last count. */
export interface LimitOptions<INPUT = unknown> {
  concurrency?: ConcurrencyLimit<INPUT>;
  rate?: RateLimit<INPUT>;
}

/** The limits of a run; the name is that of its workflow or agent. */
export type MakeLimits = (name: string, run: LimitedRun & { input: unknown }) => Limit[];

const MOST_CHARACTERS = 200;

/** Undefined if there are none. Throws `invalid_argument` and `invalid_duration`. */
export function toMakeLimits<INPUT>({ concurrency, rate }: LimitOptions<INPUT>, where: string): MakeLimits | undefined {
  if (concurrency === undefined && rate === undefined) return undefined;
  if (concurrency !== undefined) check(concurrency, `${where}.concurrency`);
  if (rate !== undefined) check(rate, `${where}.rate`);
  const perMs = rate === undefined ? 0 : Math.ceil(durationMs(rate.per, `${where}.rate.per`));
  if (rate !== undefined && perMs === 0)
    throw invalid(`${where}.rate.per: it is 0`, 'Write rate: { limit: 10, per: "1m" }.');
  return (name, { input, ...run }) => {
    const keyed = (kind: string, key: LimitKey<INPUT> | undefined): string =>
      key === undefined ? `${kind}:${name}` : `${kind}:${name}:${checkedKey(key(input as INPUT, run), { name, kind })}`;
    return [
      ...(rate === undefined ? [] : [{ key: keyed('rate', rate.key), most: rate.limit, perMs }]),
      ...(concurrency === undefined ? [] : [{ key: keyed('concurrency', concurrency.key), most: concurrency.limit }]),
    ];
  };
}

/** The limit that the runs of a tenant share. */
export function tenantLimit(tenant: string | null, perTenant: number | undefined): Limit[] {
  return tenant === null || perTenant === undefined ? [] : [{ key: `tenant:${tenant}`, most: perTenant }];
}

/** Throws `invalid_argument`. */
export function checkNumber(limit: unknown, where: string): void {
  if (Number.isSafeInteger(limit) && Number(limit) >= 1) return;
  throw invalid(`${where}: ${JSON.stringify(limit)} is no number of runs`, 'Write a whole number of at least 1.');
}

function check({ limit, key }: { limit: unknown; key?: unknown }, where: string): void {
  checkNumber(limit, `${where}.limit`);
  if (key !== undefined && typeof key !== 'function')
    throw invalid(`${where}.key: it is no function`, 'Write key: (input) => input.customer, or leave it out.');
}

function checkedKey(key: unknown, { name, kind }: { name: string; kind: string }): string {
  if (typeof key === 'string' && key !== '' && key.length <= MOST_CHARACTERS) return key;
  throw new DurableError(
    'invalid_argument',
    `Cannot start a run of "${name}": the key of its ${kind} is ${typeof key === 'string' ? `a text of ${key.length} characters` : JSON.stringify(key)}. ` +
      `Answer a text of 1 to ${MOST_CHARACTERS} characters.`,
    { details: { workflow: name } },
  );
}

function invalid(what: string, form: string): DurableError {
  return new DurableError('invalid_argument', `Cannot use the limit ${what}. ${form}`);
}

/** The key that keeps a due run from being claimed; null if there is none. Of a rate ask only those that were never claimed. */
export function blockingKey(run: Run, uses: ReadonlyMap<string, LimitUse>): string | null {
  const full = run.limits.find((limit) => {
    const use = uses.get(limit.key);
    if (use === undefined) return false;
    if (limit.perMs === undefined) return use.held >= limit.most;
    return run.epoch === 0 && use.windowEnd !== null && use.begun >= limit.most;
  });
  return full?.key ?? null;
}
