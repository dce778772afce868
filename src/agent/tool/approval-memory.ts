/** Which calls count as equal where an approval is remembered (`once`). */

import { stringifyValue } from '../../runtime/codec.ts';
import { sha256Hex } from '../../runtime/signature.ts';

/** The same for calls of one tool whose inputs are the same, in whichever order the properties of plain objects stand. */
export function callDigest(tool: string, input: unknown): string {
  return sha256Hex(stringifyValue([tool, sorted(input)], `the input of "${tool}"`));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isPlain(value)) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  // Entries, since a property named "__proto__" is one too.
  return { entries: entries.map(([name, each]) => [name, sorted(each)]) };
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
