/** Hooks whose payload has a type on both sides. */

import type { StandardSchemaV1 } from '@standard-schema/spec';
import { checkPayload } from './check-payload.ts';
import { createHook } from './create-hook.ts';
import type { HookOptions } from './create-hook.ts';
import type { Hook } from './open-hook.ts';

/** A runtime, as far as resuming needs it. */
export interface HookResumer {
  resumeHook(token: string, payload?: unknown, options?: { id?: string; by?: string }): Promise<void>;
}

export interface HookResumption<PAYLOAD> {
  token: string;
  payload: PAYLOAD;
  /** As in `runtime.resumeHook`. */
  id?: string;
  by?: string;
}

/** A kind of hook. `PAYLOAD` is what is sent, `VALUE` what the code that waits gets. */
export interface HookDefinition<PAYLOAD, VALUE = PAYLOAD> {
  /** As `createHook`, in a workflow or a tool. */
  create(options?: Omit<HookOptions<VALUE>, 'schema'>): Hook<VALUE>;
  /**
   * As `runtime.resumeHook`, from anywhere. The payload is checked first, so one that does not fit is refused in whatever process this is:
   * throws `payload_invalid`, and what `resumeHook` throws. There is no runtime in module state that it could find by itself, so it is
   * passed; token and payload have names, as two texts are easily taken for each other.
   */
  resume(runtime: HookResumer, resumption: HookResumption<PAYLOAD>): Promise<void>;
}

/**
 * Defines a kind of hook for the module that waits and the module that answers. With a schema (Standard Schema: zod, valibot, ...) payloads
 * are checked and typed by it, else the type parameter is taken on trust.
 */
export function defineHook<SCHEMA extends StandardSchemaV1>(options: {
  schema: SCHEMA;
}): HookDefinition<StandardSchemaV1.InferInput<SCHEMA>, StandardSchemaV1.InferOutput<SCHEMA>>;
export function defineHook<PAYLOAD = unknown>(): HookDefinition<PAYLOAD>;
export function defineHook({ schema }: { schema?: StandardSchemaV1 } = {}): HookDefinition<unknown> {
  return {
    create: (options = {}) => createHook(schema === undefined ? options : { ...options, schema }),
    async resume(runtime, { token, payload, id, by }) {
      if (schema !== undefined) {
        await checkPayload(schema, payload, {
          what: 'a hook',
          next: 'Send it again in the right form; the hook still waits.',
        });
      }
      // As it was sent: the run's own code reads it with its schema, which may be newer than this one.
      await runtime.resumeHook(token, payload, {
        ...(id === undefined ? {} : { id }),
        ...(by === undefined ? {} : { by }),
      });
    },
  };
}
