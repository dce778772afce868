/** What Redis says went wrong, as errors that say what to do. */

import { DurableError } from '../../runtime/errors.ts';
import type { ErrorCode } from '../../runtime/errors.ts';

interface Advice {
  code: ErrorCode;
  why: string;
  retryable: boolean;
}

const CREDENTIALS: Advice = {
  code: 'store_unavailable',
  why: 'it refused the credentials. Check the user, the password or the token',
  retryable: false,
};

/** By what an answer of the server begins with (https://redis.io/docs/latest/develop/reference/protocol-spec, errors). */
const ADVICE: ReadonlyArray<[RegExp, Advice]> = [
  [/WRONGPASS|NOAUTH|invalid password|Unauthorized/i, CREDENTIALS],
  [
    /NOPERM|ACL failure|user executing the script can't/,
    {
      code: 'store_unavailable',
      why: "this user's rights do not cover it. Allow EVAL, EVALSHA, what the scripts call, and all keys and channels of the namespace",
      retryable: false,
    },
  ],
  [/\bOOM\b/, { code: 'store_full', why: 'its memory is used up. Raise maxmemory, or remove runs', retryable: true }],
  [
    /MISCONF|daily request limit|max database size/i,
    { code: 'store_full', why: 'it takes no more writes. See the cause', retryable: true },
  ],
  [
    /READONLY/,
    {
      code: 'store_read_only',
      why: 'it is a replica. Connect to the master, or wait for the failover',
      retryable: true,
    },
  ],
  [
    /max request size/i,
    {
      code: 'store_unavailable',
      why: 'a request was larger than its limit. Store less in one step, or raise the limit of the plan',
      retryable: false,
    },
  ],
  [
    /LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|NOREPLICAS|NOSCRIPT/,
    { code: 'store_unavailable', why: 'it is not ready. Try again', retryable: true },
  ],
];

/** An answer of the server that nothing else says more of. */
const REFUSED: Advice = { code: 'store_unavailable', why: 'it refused the call. See the cause', retryable: false };

const UNREACHABLE: Advice = {
  code: 'store_unavailable',
  why: 'it cannot be reached, or did not answer. Check that it runs at this address',
  retryable: true,
};

/** Translates what a client throws. */
export function toStoreError(error: unknown, at: { doing: string; where: string }): DurableError {
  if (DurableError.is(error)) return error;
  const cause = withoutCommand(error);
  const said = cause instanceof Error ? cause.message : String(cause);
  const advice = ADVICE.find(([pattern]) => pattern.test(said))?.[1] ?? (isAnswer(cause) ? REFUSED : UNREACHABLE);
  return new DurableError(advice.code, `Cannot ${at.doing} the Redis store at "${at.where}": ${advice.why}.`, {
    retryable: advice.retryable,
    cause,
    details: { where: at.where, said: said.slice(0, 300) },
  });
}

/** Clients add the command to their errors: what is stored, or the password that they logged in with. */
function withoutCommand(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const [said = ''] = error.message.split(', command was: ');
  if (said === error.message && !('command' in error)) return error;
  const told = new Error(said);
  told.name = error.name;
  return told;
}

/** The server refused, and can be reached: it begins what it says with a word in capitals. */
export function isAnswer(error: unknown): boolean {
  return error instanceof Error && /^[A-Z]{3,} /.test(error.message);
}
