/** What Postgres and its client say went wrong, as errors that say what to do. */

import { DurableError } from '../../runtime/errors.ts';
import type { ErrorCode } from '../../runtime/errors.ts';

interface Advice {
  code: ErrorCode;
  why: string;
  retryable: boolean;
}

const unavailable = (why: string, retryable = false): Advice => ({ code: 'store_unavailable', why, retryable });
const DOWN = unavailable(
  'the server cannot be reached, or ended the connection. Check that it runs; it is tried again',
  true,
);

/** By SQLSTATE, or its first two characters (https://www.postgresql.org/docs/current/errcodes-appendix.html). */
const ADVICE: Readonly<Record<string, Advice>> = {
  '08': DOWN,
  57: DOWN,
  28: unavailable('the server refused the user or the password. Check the credentials'),
  '3D000': unavailable('there is no such database. Make it, or correct its name'),
  42501: unavailable('this user may not do that. Give it the rights to the schema and what is in it'),
  '42P01': unavailable('the tables are missing. Run `everturn migrate`, or leave the option `migrate` on'),
  '3F000': unavailable('the schema is missing. Run `everturn migrate`, or leave the option `migrate` on'),
  42883: unavailable('the functions are missing. Run `everturn migrate`, or leave the option `migrate` on'),
  26000: unavailable(
    'prepared statements are lost between the server and here. Set `prepare: false` behind PgBouncer',
    true,
  ),
  '42P05': unavailable('prepared statements meet those of others. Set `prepare: false` behind PgBouncer', true),
  53300: unavailable(
    'the server has no connection left. Lower `connections`, or allow more there; it is tried again',
    true,
  ),
  53100: { code: 'store_full', why: "the server's disk is full. Make room, then try again", retryable: true },
  53: unavailable('the server is short of resources. See the cause; it is tried again', true),
  40: unavailable('other work was in the way again and again. Try again', true),
  55: unavailable('the server is busy. See the cause; it is tried again', true),
  25006: {
    code: 'store_read_only',
    why: 'the server takes no writes, perhaps as a replica. Connect to the primary',
    retryable: true,
  },
  XX001: { code: 'store_corrupt', why: 'data are damaged. Restore them from a backup', retryable: false },
  XX002: { code: 'store_corrupt', why: 'an index is damaged. Rebuild it with REINDEX', retryable: false },
};

const UNKNOWN = unavailable('Postgres refused. See the cause');

const SQLSTATE = /^[0-9A-Z]{5}$/;
/** The client's own errors, which have no code. */
const LOST = /terminated|timeout|timed out|not queryable|closed|ended/i;

/** Translates errors of the database and its client; others come back as they are. */
export function toStoreError(error: unknown, at: { doing: string; where: string }): unknown {
  const advice = adviceFor(error);
  if (advice === null) return error;
  const state = error instanceof Error && 'code' in error ? String(error.code) : null;
  const said = error instanceof Error ? ` (${error.message})` : '';
  return new DurableError(advice.code, `Cannot ${at.doing} the store at ${at.where}: ${advice.why}${said}.`, {
    retryable: advice.retryable,
    cause: error,
    details: { where: at.where, ...(state === null ? {} : { postgres: state }) },
  });
}

function adviceFor(error: unknown): Advice | null {
  if (!(error instanceof Error) || DurableError.is(error)) return null;
  const code = stateOf(error);
  // What the driver says of an address that cannot be reached is a system error, or several.
  if (error instanceof AggregateError) return DOWN;
  if (code === null) return LOST.test(error.message) ? DOWN : null;
  if (!SQLSTATE.test(code)) return /^E[A-Z]+$/.test(code) && 'syscall' in error ? DOWN : null;
  if (code.startsWith('E')) return DOWN;
  return ADVICE[code] ?? ADVICE[code.slice(0, 2)] ?? UNKNOWN;
}

function stateOf(error: Error): string | null {
  return 'code' in error && typeof error.code === 'string' ? error.code : null;
}

/** Nothing of the transaction was applied, and it may go through when it is sent again. */
export function isConflict(error: unknown): boolean {
  const state = error instanceof Error ? stateOf(error) : null;
  return state === '40P01' || state === '40001';
}

/** The schema may have been dropped, or not be there yet. */
export function isMissing(error: unknown): boolean {
  const state = error instanceof Error ? stateOf(error) : null;
  return state === '42P01' || state === '42883' || state === '3F000';
}
