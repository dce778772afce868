/** Ids that clients choose and ids that are derived from them. */

import { sha256Hex } from '../runtime/signature.ts';
import { invalidArgument } from './http-error.ts';

const MAX_LENGTH = 200;
// oxlint-disable-next-line no-control-regex -- control characters are what it is for
const FORBIDDEN = /[\u0000-\u001f\u007f~]/;

/** Throws `invalid_argument` for ids that would be taken for something else in a URL. */
export function checkThreadId(id: string): string {
  const flaw = flawOf(id);
  if (flaw === undefined) return id;
  throw invalidArgument(`Cannot use the thread id ${JSON.stringify(id)}: it ${flaw}. Use another id for the chat.`, {
    field: 'id',
    id,
  });
}

function flawOf(id: string): string | undefined {
  if (id.length === 0 || id.length > MAX_LENGTH)
    return `has ${id.length} characters, and 1 to ${MAX_LENGTH} are allowed`;
  if (id.startsWith('run_')) return 'begins with "run_", as ids of runs do';
  if (id === '.' || id === '..') return 'means a folder in a path';
  return FORBIDDEN.test(id) ? 'has a control character or "~" in it' : undefined;
}

/** The id of the run that a message starts: the same message again is the same run. */
export function runIdOf(origin: { tenant: string | null; thread: string; message: string }): string {
  return derived(['message', origin.tenant, origin.thread, origin.message]);
}

/** The id of the run that replaces another one. */
export function regeneratedRunId(superseded: string): string {
  return derived(['regenerate', superseded]);
}

function derived(of: Array<string | null>): string {
  return `run_${sha256Hex(JSON.stringify(of)).slice(0, 32)}`;
}
