/**
 * A store that takes and gives values of any size to whoever is not the holder of a run: what is handed in is put out of line first, what is
 * read of streams, hooks and threads is whole. The holder puts what it commits itself (`staging.ts`), and reads its journal as it goes.
 *
 *  V1 Rows of `get`, `list` and `claim`, events and messages of `load` stay as they stand; `expand` makes one of them whole.
 *  V2 A page of a stream has at least one chunk, and as many whole ones as it may hold.
 *  V3 A row whose value has lost parts hides no other row: the value stays a reference, which is `value_corrupt` to who decodes it.
 *  V4 What wakes a run stays in line: it says who and where, not what.
 */

import type { Clock } from './clock.ts';
import type { Payload } from './codec.ts';
import { DurableError } from './errors.ts';
import { LargeValues } from './large-values.ts';
import { isLarge, isReference, sizeOf } from './reference.ts';
import type { Delivery, Hook, NewRun, Run, Store, StreamPage } from './store.ts';

export interface ValueStore extends Store {
  /** The payload as it was handed in. Throws `value_corrupt`. */
  expand(payload: Payload): Promise<Payload>;
}

/** `maxBytes`: of one value. */
export function withLargeValues(
  store: Store,
  { maxBytes, clock }: { maxBytes: number; clock: Pick<Clock, 'settle'> },
): ValueStore {
  const values = new LargeValues(store, { ask: (call) => call(store), clock });
  const own = overrides(store, { values, maxBytes });
  const passed = new Map<PropertyKey, { from: unknown; to: unknown }>();
  // Whatever else a store has is its own.
  return new Proxy(store, {
    get(target, name) {
      const override: unknown = Reflect.get(own, name);
      if (override !== undefined) return override;
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      const known = passed.get(name);
      if (known?.from === value) return known.to;
      const to: unknown = value.bind(target);
      passed.set(name, { from: value, to });
      return to;
    },
  }) as ValueStore;
}

interface Overriding {
  values: LargeValues;
  maxBytes: number;
}

type Overridden = Pick<Store, 'start' | 'deliver' | 'note' | 'read' | 'hook' | 'listHooks' | 'thread'> &
  Pick<ValueStore, 'expand'>;

function overrides(store: Store, { values, maxBytes }: Overriding): Overridden {
  const put = (home: string, payload: Payload, what: string): Promise<Payload> => {
    assertFits(payload, { what, maxBytes });
    return values.put(home, payload);
  };
  const putStart = async (run: NewRun): Promise<NewRun> =>
    isLarge(run.input) ? { ...run, input: await put(run.id, run.input, `the input of run "${run.id}"`) } : run;
  const putDelivery = async (delivery: Delivery): Promise<Delivery> => {
    const { id, kind, payload } = delivery;
    if (!isLarge(payload) || kind === 'wake') return delivery; // V4
    return { ...delivery, payload: await put(id, payload, `the message "${id}"`) };
  };
  const expandRow: ValueStore['expand'] = (payload) => values.expand(payload).catch(keepDamaged(payload));
  const expandHook = (hook: Hook): Promise<Hook> => wholeHook(expandRow, hook);
  return {
    expand: (payload) => values.expand(payload),
    start: async (runs, claim) =>
      store.start(runs.some(({ input }) => isLarge(input)) ? await eachInTurn(runs, putStart) : runs, claim),
    deliver: async (messages, claim) => {
      const large = messages.some(({ payload }) => isLarge(payload));
      return store.deliver(large ? await eachInTurn(messages, putDelivery) : messages, claim);
    },
    async note(tokenHash, note) {
      if (!isLarge(note)) return store.note(tokenHash, note);
      const hook = await store.hook(tokenHash);
      return hook !== null && store.note(tokenHash, await put(hook.run, note, `a note of the hook "${hook.key}"`));
    },
    async read(run, stream, options) {
      const page = await store.read(run, stream, options);
      return page?.chunks.some(isReference) === true ? wholePage(values, page, options.maxBytes) : page;
    },
    async hook(tokenHash) {
      const hook = await store.hook(tokenHash);
      return hook === null ? null : expandHook(hook);
    },
    async listHooks(query) {
      const page = await store.listHooks(query);
      return { ...page, items: await eachInTurn(page.items, expandHook) };
    },
    thread: async (id, tenant) => eachInTurn(await store.thread(id, tenant), (run) => wholeRun(expandRow, run)),
  };
}

/** Throws `value_corrupt`. */
export async function wholeRun(expand: ValueStore['expand'], run: Run): Promise<Run> {
  const { input, result, error } = run;
  if (![input, result, error].some((payload) => payload !== null && isReference(payload))) return run;
  return {
    ...run,
    input: await expand(input),
    result: result === null ? null : await expand(result),
    error: error === null ? null : await expand(error),
  };
}

/** V3 */
function keepDamaged(payload: Payload): (error: unknown) => Payload {
  return (error) => {
    if (DurableError.is(error, 'value_corrupt')) return payload;
    throw error;
  };
}

async function wholeHook(expand: ValueStore['expand'], hook: Hook): Promise<Hook> {
  if (!isReference(hook.details) && !hook.notes.some(isReference)) return hook;
  return {
    ...hook,
    details: await expand(hook.details),
    notes: await eachInTurn(hook.notes, expand),
  };
}

/** V2 */
async function wholePage(values: LargeValues, page: StreamPage, maxBytes: number): Promise<StreamPage> {
  const chunks: Payload[] = [];
  let bytes = 0;
  for (const stored of page.chunks) {
    if (chunks.length > 0 && isReference(stored) && bytes + sizeOf(stored) > maxBytes) break;
    const chunk = await values.expand(stored);
    if (chunks.length > 0 && bytes + chunk.length > maxBytes) break;
    chunks.push(chunk);
    bytes += chunk.length;
  }
  return { ...page, chunks, closed: page.closed && chunks.length === page.chunks.length };
}

/** One after the other: each may be large. */
async function eachInTurn<T, R>(items: readonly T[], make: (item: T) => Promise<R>): Promise<R[]> {
  const made: R[] = [];
  for (const item of items) made.push(await make(item));
  return made;
}

function assertFits(payload: Payload, { what, maxBytes }: { what: string; maxBytes: number }): void {
  const bytes = payload.length - 1;
  if (bytes <= maxBytes) return;
  throw new DurableError(
    'value_too_large',
    `Cannot store ${what}: it takes ${bytes} bytes and the limit is ${maxBytes}. Store the data elsewhere and hand in a reference to it, or raise maxValueBytes.`,
    { details: { bytes, limit: maxBytes } },
  );
}
