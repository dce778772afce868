/**
 * Hooks: suspension points that are resolved from outside by their token.
 *
 *  H1 The token is a capability: HMAC(secret of the run, run id + key), the same on replay (keyring.ts); rows hold its SHA-256 only.
 *  H2 The row is committed before any later step body, chunk or child of the run.
 *  H3 A payload that comes before the wait is kept.
 *  H4 A payload that does not fit the schema never reaches the code that waits: it is refused when it is delivered, if the run is in
 *     memory there; else when it is taken, logged, and the hook is open again.
 */

import type { StandardSchemaV1 } from '@standard-schema/spec';
import { encodeValue } from '../runtime/codec.ts';
import { requireContext } from '../runtime/context.ts';
import type { Mailbox, RunContext } from '../runtime/context.ts';
import { momentOf } from '../runtime/duration.ts';
import type { Duration } from '../runtime/duration.ts';
import type { NewHook } from '../runtime/store.ts';
import { DurableError } from '../runtime/errors.ts';
import { sha256Hex } from '../runtime/signature.ts';

export interface HookOptions<T> {
  /** What a payload must be; one that is not is refused and the hook goes on waiting (H4). */
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

/** Await it for the (next) payload, or iterate over payloads. */
export interface Hook<T> extends PromiseLike<T>, AsyncIterable<T> {
  /** Pass it to `runtime.resumeHook(token, payload)`. */
  readonly token: string;
}

/**
 * Creates a hook; synchronous. Awaiting it rejects with `hook_conflict` if the token belongs to another run. Throws
 * `outside_run` and `inside_step`.
 */
export function createHook<T = unknown>(options: HookOptions<T> = {}): Hook<T> {
  const context = requireContext('createHook()');
  const key = context.nextKey(options.token === undefined ? 'hook' : `hook:${sha256Hex(options.token).slice(0, 16)}`);
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
  const isOver = new AbortController();
  const until = options.expiresIn === undefined ? undefined : expiryOf(options);
  context.createHook(row, options.schema);
  if (until !== undefined) void expire(context, row, { until, signal: isOver.signal });
  const mailbox = context.mailbox(key);
  const next = async (): Promise<T> => {
    const payload = await nextPayload(context, { row, mailbox, schema: options.schema });
    isOver.abort();
    return payload;
  };
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

function expiryOf({ expiresIn, many }: HookOptions<unknown>): number | Date {
  if (many === true) {
    throw new DurableError(
      'invalid_argument',
      'Cannot create a hook with both "many" and "expiresIn": one that takes many payloads stays open. Race its next payload with sleep() instead.',
    );
  }
  const moment = momentOf(expiresIn ?? 0, { now: 0, where: 'createHook({ expiresIn })' });
  return expiresIn instanceof Date ? expiresIn : moment;
}

/** The timer begins with the hook, awaited or not; those who await the hook hear of its end. */
async function expire(
  context: RunContext,
  row: NewHook,
  { until, signal }: { until: number | Date; signal: AbortSignal },
): Promise<void> {
  try {
    await context.sleep(`${row.key}/expiry`, until, signal);
    await context.closeHook(`${row.key}/closed`, row);
  } catch (error) {
    // Whoever awaits the hook is told of a cancel too.
    if (signal.aborted || DurableError.is(error, 'cancelled')) return;
    const code = DurableError.is(error) ? error.code : 'internal_error';
    context.logger.error({ code, hook: row.key, err: error }, 'a hook could not expire');
  }
}

/** H4 */
async function nextPayload<T>(
  context: RunContext,
  { row, mailbox, schema }: { row: NewHook; mailbox: Mailbox; schema: HookOptions<T>['schema'] },
): Promise<T> {
  for (let refused = 0; ;) {
    const { value, by, id } = await mailbox.take();
    if (schema === undefined) return value as T;
    try {
      return await checkPayload(schema, value, { what: `hook "${row.key}"`, next: 'The hook waits for another one.' });
    } catch (error) {
      if (!DurableError.is(error, 'payload_invalid')) throw error;
      refused += 1;
      context.logger.warn({ code: error.code, hook: row.key, message: id, by, err: error }, 'a payload was refused');
      if (row.once) context.reopenHook(row, refused);
    }
  }
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
