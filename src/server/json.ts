/** JSON responses. */

import { DurableError } from '../runtime/errors.ts';

/** Values of runs may hold what JSON has not: what is shown of them is for people and panels. */
export function jsonResponse(
  value: unknown,
  { status = 200, headers = {} }: { status?: number; headers?: Record<string, string> } = {},
): Response {
  return new Response(JSON.stringify(value, toJson), {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers },
  });
}

/** The replacer of `JSON.stringify` for what JSON has not. */
export function toJson(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Map || value instanceof Set) return [...value];
  if (value instanceof Uint8Array) return { bytes: value.byteLength };
  if (DurableError.is(value)) return { name: value.name, code: value.code, message: value.message };
  if (value instanceof Error) return { name: value.name, message: value.message };
  return value;
}
