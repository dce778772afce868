/**
 * Hooks: suspension points that are resolved from outside by their token.
 *
 *  H1 The token is a capability: HMAC(secret, run id + key), the same on replay; rows hold its SHA-256 only.
 *  H2 The row is committed before any later step body, chunk or child of the run.
 *  H3 A payload that comes before the wait is kept. It is checked against the schema when it is delivered.
 */

import type { StandardSchemaV1 } from '@standard-schema/spec';
import { encodeValue } from '../runtime/codec.ts';
import { requireContext } from '../runtime/context.ts';
import type { Mailbox } from '../runtime/context.ts';
import { DurableError } from '../runtime/errors.ts';
import { keyName } from '../runtime/run-scope.ts';
import { sha256Hex } from '../runtime/signature.ts';

export interface HookOptions<T> {
  /** Checks a payload when it is awaited; and when it is delivered, if the run is in the memory of the process that delivers it. */
  schema?: StandardSchemaV1<unknown, T>;
  /** A token of your own, e.g. an order's id. It must be hard to guess if strangers can reach `resumeHook`. */
  token?: string;
  /** Accept more than one payload. Default false: the first one resolves the hook. */
  many?: boolean;
  /** Read back by `runtime.hooks`. */
  metadata?: unknown;
}

/** Await it for the (next) payload, or iterate over payloads. */
export interface Hook<T> extends PromiseLike<T>, AsyncIterable<T> {
  /** Pass it to `runtime.resumeHook(token, payload)`. */
  readonly token: string;
}

/**
 * Creates a hook; synchronous. Awaiting it rejects with `hook_conflict` if the token belongs to another run, and with
 * `payload_invalid` if the payload does not fit the schema. Throws `outside_run` and `inside_step`.
 */
export function createHook<T = unknown>(options: HookOptions<T> = {}): Hook<T> {
  const context = requireContext('createHook()');
  const key = context.nextKey(options.token === undefined ? 'hook' : `hook:${keyName(options.token)}`);
  const token = options.token ?? context.sign(`hook\n${context.run.id}\n${key}`);
  const tokenHash = sha256Hex(token);
  const row = {
    tokenHash,
    key,
    kind: 'hook' as const,
    once: options.many !== true,
    needed: 1,
    tool: null,
    details: encodeValue({ metadata: options.metadata }, `the metadata of hook "${key}"`),
  };
  context.createHook(row, options.schema);
  const mailbox = context.mailbox(key);
  const next = (): Promise<T> => nextPayload(mailbox, { key, schema: options.schema });
  let first: Promise<T> | undefined;
  return {
    token,
    then: (onResolved, onRejected) => {
      first = options.many === true ? next() : (first ?? next());
      return first.then(onResolved, onRejected);
    },
    async *[Symbol.asyncIterator]() {
      if (options.many !== true) {
        first ??= next();
        yield await first;
        return;
      }
      for (;;) yield await next();
    },
  };
}

const NEXT_IN_RUN =
  'The payload was taken: to let the sender try again, create the hook with many: true and await the next one.';

async function nextPayload<T>(
  mailbox: Mailbox,
  { key, schema }: { key: string; schema: HookOptions<T>['schema'] },
): Promise<T> {
  const { value } = await mailbox.take();
  if (schema === undefined) return value as T;
  return checkPayload(schema, value, { what: `hook "${key}"`, next: NEXT_IN_RUN });
}

/** The payload as the schema answers it. Throws `payload_invalid`, naming the fields, and what to do next. */
export async function checkPayload<T>(
  schema: StandardSchemaV1<unknown, T>,
  value: unknown,
  { what, next }: { what: string; next: string },
): Promise<T> {
  const result = await schema['~standard'].validate(value);
  if (result.issues === undefined) return result.value;
  const issues = result.issues.map(({ path = [], message }) => ({
    path: path.map((part) => String(typeof part === 'object' ? part.key : part)).join('.'),
    message,
  }));
  const text = issues.map(({ path, message }) => (path === '' ? message : `"${path}": ${message}`)).join('; ');
  throw new DurableError('payload_invalid', `Cannot accept the payload for ${what}: ${text}. ${next}`, {
    details: { issues },
  });
}
