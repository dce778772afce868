/** Which calls count as equal where an approval is remembered (`once`). */

import { sha256Hex } from '../../runtime/signature.ts';

/** The same for calls of one tool whose inputs are the same JSON, in whichever order their properties stand. */
export function callDigest(tool: string, input: unknown): string {
  return sha256Hex(JSON.stringify([tool, sorted(input)]));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null || 'toJSON' in value) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  // Entries, since a property named "__proto__" is one too.
  return ['{}', entries.map(([name, each]) => [name, sorted(each)])];
}
