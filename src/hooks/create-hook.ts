/** Hooks that code outside resumes: `runtime.resumeHook`, `POST /hooks/:token`. */

import type { StandardSchemaV1 } from '@standard-schema/spec';
import { requireContext } from '../runtime/context.ts';
import type { Duration } from '../runtime/duration.ts';
import { openHook } from './open-hook.ts';
import type { Hook } from './open-hook.ts';

export interface HookOptions<T> {
  /** What a payload must be; one that is not is refused and the hook goes on waiting. */
  schema?: StandardSchemaV1<unknown, T>;
  /** A token of your own, e.g. an order's id. It must be hard to guess if strangers can reach `resumeHook`. */
  token?: string;
  /** Accept more than one payload. Default false: the first one resolves the hook. */
  many?: boolean;
  /** Kept with the hook. */
  metadata?: unknown;
  /**
   * How long it can be resumed: milliseconds, text such as "2 days", or a Date. Then awaiting it rejects with `hook_expired`, unless a payload
   * came before, in whatever process. Not for hooks that take many.
   */
  expiresIn?: Duration | Date;
}

/**
 * Creates a hook; synchronous. Awaiting it rejects with `hook_conflict` if the token belongs to another run. Throws
 * `outside_run` and `inside_step`.
 */
export function createHook<T = unknown>(options: HookOptions<T> = {}): Hook<T> {
  const { token, many = false, expiresIn, schema, metadata } = options;
  const read = (payload: unknown): T => payload as T;
  const context = requireContext('createHook()');
  return openHook<T>(context, { kind: 'hook', token, many, expiresIn, schema, details: { metadata }, read });
}
