/** What SQLite says went wrong, as errors that say what to do. */

import { DurableError } from '../../runtime/errors.ts';
import type { ErrorCode } from '../../runtime/errors.ts';

interface Advice {
  code: ErrorCode;
  why: string;
  retryable: boolean;
}

const UNKNOWN: Advice = { code: 'store_unavailable', why: 'SQLite refused. See the cause', retryable: false };

/** By primary result code (https://sqlite.org/rescode.html). */
const ADVICE: Readonly<Record<number, Advice>> = {
  3: {
    code: 'store_unavailable',
    why: 'access to the file was denied. Give this user the right to read and write it',
    retryable: false,
  },
  5: { code: 'store_unavailable', why: 'another process kept it locked for too long. Try again', retryable: true },
  6: {
    code: 'store_unavailable',
    why: 'another connection of this process kept it locked. Try again',
    retryable: true,
  },
  8: {
    code: 'store_read_only',
    why: 'it cannot be written to. Make the file and its directory writable for this user',
    retryable: false,
  },
  10: { code: 'store_unavailable', why: 'the disk reported an error. Check the disk, then try again', retryable: true },
  11: { code: 'store_corrupt', why: 'the file is damaged. Restore it from a backup', retryable: false },
  13: { code: 'store_full', why: 'the disk is full. Make room, then try again', retryable: true },
  14: {
    code: 'store_unavailable',
    why: 'the file cannot be opened. Check that its directory exists and that this user may read and write in it',
    retryable: false,
  },
  26: {
    code: 'store_corrupt',
    why: 'the file is not a SQLite database. Give another path, or restore it from a backup',
    retryable: false,
  },
};

/** Translates an error of `node:sqlite`; others come back as they are. */
export function toStoreError(error: unknown, at: { doing: string; path: string }): unknown {
  const errcode = sqliteCode(error);
  if (errcode === null) return error;
  const advice = ADVICE[errcode & 0xff] ?? UNKNOWN;
  return new DurableError(advice.code, `Cannot ${at.doing} the store "${at.path}": ${advice.why}.`, {
    retryable: advice.retryable,
    cause: error,
    details: { path: at.path, sqlite: errcode },
  });
}

export function isBusy(error: unknown): boolean {
  return ((sqliteCode(error) ?? 0) & 0xff) === 5;
}

function sqliteCode(error: unknown): number | null {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : null;
}
