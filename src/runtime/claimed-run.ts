/** What a claimed run begins with: its journal and its input, and what is large of both, as far as replay needs it at once. */

import { decodeValue } from './codec.ts';
import type { HeldRun } from './held-run.ts';
import { Journal } from './journal.ts';
import { LargeValues } from './large-values.ts';
import { isReference } from './reference.ts';
import type { StoreCalls } from './store-calls.ts';
import type { Loaded, Run, Store } from './store.ts';

export interface ClaimedRun {
  journal: Journal;
  input: unknown;
  values: LargeValues;
}

export interface ReadClaimedOptions {
  store: Store;
  calls: StoreCalls;
  /** Null of a run that has recorded nothing. */
  loaded: Loaded | null;
  /** Whether the claim still holds, as far as this process knows. */
  isHeld: () => boolean;
  /** Who executes it, once somebody does. */
  held: () => HeldRun | undefined;
}

/** Throws `value_corrupt`, and what the store throws when the claim is over. */
export async function readClaimed(run: Run, options: ReadClaimedOptions): Promise<ClaimedRun> {
  const { store, calls, loaded, isHeld, held } = options;
  const isWorthIt = (): boolean => {
    const holder = held();
    return holder === undefined ? isHeld() : holder.state !== 'finished';
  };
  const values = new LargeValues(store, (call) => calls.insist(call, isWorthIt));
  const journal = Journal.load(loaded, {
    from: run.checkpoint,
    unreadable: (error) => held()?.broken(error),
    expand: (payload) => values.expand(payload),
  });
  const preparing = journal.prepare();
  if (preparing !== undefined) await preparing;
  const input = isReference(run.input) ? await values.expand(run.input) : run.input;
  return { journal, values, input: decodeValue(input) };
}
