/**
 * Hooks: suspension points that are resolved from outside by their token.
 *
 *  H1 The token is a capability: HMAC(secret of the run, run id + key), the same on replay (keyring.ts); rows hold its SHA-256 only.
 *  H2 The row is committed before any later step body, chunk or child of the run.
 *  H3 A payload that comes before the wait is kept, also where the hook is closed before the wait.
 *  H4 A payload that does not fit the schema never reaches the code that waits: it is refused when it is delivered, if the run is in
 *     memory there; else when it is taken, logged, and the hook is open again.
 */

import type { StandardSchemaV1 } from '@standard-schema/spec';
import { encodeValue } from '../runtime/codec.ts';
import { requireContext } from '../runtime/context.ts';
import type { MessageBuffer, RunContext } from '../runtime/context.ts';
import { momentOf } from '../runtime/duration.ts';
import type { Duration } from '../runtime/duration.ts';
import type { HookKind, NewHook } from '../runtime/store.ts';
import { DurableError } from '../runtime/errors.ts';
import { sha256Hex } from '../runtime/signature.ts';
import { checkPayload } from './check-payload.ts';

/** Await it for the (next) payload, or iterate over payloads. `using` disposes of it. */
export interface Hook<T> extends PromiseLike<T>, AsyncIterable<T>, Disposable, AsyncDisposable {
  /** Whoever has it may resume the hook. */
  readonly token: string;
  /**
   * Closes the hook; resolves when that is stored. A payload that comes later is refused with `hook_closed`; one that was accepted before is
   * kept: `await` and `for await` give it first. Then `for await` ends, and `await` rejects with `hook_closed`. The token is free for
   * another hook then, unless this one takes a single payload and has it. Throws `inside_step`.
   */
  dispose(): Promise<void>;
}

export interface OpenHook<T> extends Hook<T> {
  readonly key: string;
}

export interface OpenHookOptions<T> {
  /** Keys begin with it. */
  kind: Exclude<HookKind, 'approval'>;
  token: string | undefined;
  /** What tokens that are made here begin with. */
  prefix?: string;
  many: boolean;
  expiresIn: Duration | Date | undefined;
  schema: StandardSchemaV1<unknown, T> | undefined;
  /** Kept with the row. */
  details: Record<string, unknown> | ((token: string) => object);
  /** What the code gets of a payload. */
  read: (payload: unknown) => T;
  /** See `RunContext.createHook`. */
  onCreate?: (token: string) => void;
}

/** Adds the hook's row to the run's next commit. Synchronous. */
export function openHook<T>(context: RunContext, options: OpenHookOptions<T>): OpenHook<T> {
  const { many, schema, expiresIn } = options;
  const { token, row } = newRow(context, options);
  const until = expiresIn === undefined ? undefined : expiryOf(expiresIn, many);
  context.createHook(row, { schema, onCreate: () => options.onCreate?.(token) });
  /** Of a hook that takes one payload: it was taken. Of any: its code closes it. */
  const isOver = new AbortController();
  if (until !== undefined) void expire(context, row, { until, signal: isOver.signal });
  const buffer = context.buffer(row.key);
  const next = async (): Promise<T> => {
    const value = await nextPayload(context, { row, buffer, options });
    if (row.once) isOver.abort();
    return value;
  };
  let first: Promise<T> | undefined;
  const payload = (): Promise<T> => (first = many ? next() : (first ?? next()));
  let closed: Promise<void> | undefined;
  const dispose = (unawaited = false): Promise<void> => (closed ??= close(context, row, { isOver, unawaited }));
  return {
    token,
    key: row.key,
    then: (onResolved, onRejected) => payload().then(onResolved, onRejected),
    async *[Symbol.asyncIterator]() {
      try {
        yield await payload();
        while (!row.once) yield await payload();
      } catch (error) {
        if (closed === undefined || !DurableError.is(error, 'hook_closed')) throw error;
      }
    },
    dispose: () => dispose(),
    [Symbol.asyncDispose]: () => dispose(),
    [Symbol.dispose]: () =>
      void dispose(true).catch((error: unknown) =>
        logFailure(context, row, { error, what: 'a hook could not be closed' }),
      ),
  };
}

function newRow(
  context: RunContext,
  options: Pick<OpenHookOptions<unknown>, 'kind' | 'many' | 'details' | 'token' | 'prefix'>,
): { token: string; row: NewHook } {
  const { kind, many, details, token: given, prefix = '' } = options;
  const key = context.nextKey(given === undefined ? kind : `${kind}:${sha256Hex(given).slice(0, 16)}`);
  const token = given ?? prefix + context.sign(`hook\n${context.run.id}\n${key}`);
  const row: NewHook = {
    tokenHash: sha256Hex(token),
    key,
    kind,
    once: !many,
    needed: 1,
    tool: null,
    details: encodeValue(typeof details === 'function' ? details(token) : details, `the details of hook "${key}"`),
  };
  return { token, row };
}

function expiryOf(expiresIn: Duration | Date, many: boolean): number | Date {
  if (many) {
    throw new DurableError(
      'invalid_argument',
      'Cannot create a hook with both "many" and "expiresIn": one that takes many payloads stays open. Race its next payload with sleep() instead.',
    );
  }
  const moment = momentOf(expiresIn, { now: 0, where: 'createHook({ expiresIn })' });
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
    logFailure(context, row, { error, what: 'a hook could not expire' });
  }
}

async function close(
  context: RunContext,
  row: NewHook,
  { isOver, unawaited }: { isOver: AbortController; unawaited: boolean },
): Promise<void> {
  requireContext('dispose() of a hook');
  if (isOver.signal.aborted) return;
  isOver.abort();
  try {
    await context.closeHook(`${row.key}/disposed`, { ...row, disposed: true }, { unawaited });
  } catch (error) {
    // The end of the run closes its hooks.
    if (!DurableError.is(error, 'cancelled')) throw error;
  }
}

function logFailure(context: RunContext, { key }: NewHook, { error, what }: { error: unknown; what: string }): void {
  const code = DurableError.is(error) ? error.code : 'internal_error';
  context.logger.error({ code, hook: key, err: error }, what);
}

/** H4 */
async function nextPayload<T>(
  context: RunContext,
  { row, buffer, options }: { row: NewHook; buffer: MessageBuffer; options: OpenHookOptions<T> },
): Promise<T> {
  const { schema, read } = options;
  for (let refused = 0; ;) {
    const { value, by, id } = await buffer.take();
    if (schema === undefined) return read(value);
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
