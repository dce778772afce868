/** What a claimed run begins with: its journal and its input, and what is large of both, as far as replay needs it at once. */

import type { Clock } from './clock.ts';
import { decodeValue } from './codec.ts';
import { DurableError } from './errors.ts';
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
  clock: Clock;
  calls: StoreCalls;
  /** Null of a run that has recorded nothing. */
  loaded: Loaded | null;
  /** Monotonic time before the claim was sent. */
  claimedAt: number;
  leaseMs: number;
  /** Who executes it, once somebody does. */
  held: () => HeldRun | undefined;
}

/** Throws `value_corrupt`, and what the store throws when the claim is over. */
export async function readClaimed(run: Run, options: ReadClaimedOptions): Promise<ClaimedRun> {
  const { store, clock, calls, loaded, claimedAt, leaseMs, held } = options;
  if (loaded !== null) assertWhole(loaded);
  const isWorthIt = (): boolean => {
    const holder = held();
    return holder === undefined ? clock.monotonic() - claimedAt < leaseMs : holder.state !== 'finished';
  };
  const values = new LargeValues(store, { ask: (call) => calls.insist(call, isWorthIt), clock });
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

/** Otherwise the store has lost or restored a part of a transaction. */
function assertWhole({ run: { id, head, checkpoint }, events }: Loaded): void {
  const found = checkpoint + events.length;
  if (found === head) return;
  throw new DurableError(
    'value_corrupt',
    `Cannot go on with the run "${id}": its row counts ${head} events, and its journal has ${found}: the store has lost or restored a part of a transaction. ` +
      'Restore the store from a backup, or cancel the run and start another one.',
    { details: { run: id, head, events: found } },
  );
}
