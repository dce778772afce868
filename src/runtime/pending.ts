/** What the next commit of a run carries, besides chunks. */

import { encodeEvent, readDraft } from './event.ts';
import type { EventDraft, JournalEvent } from './event.ts';
import type { Payload } from './codec.ts';
import { isLarge, isReference } from './reference.ts';
import type { LedgerRow, NewHook, NewRun } from './store.ts';

export interface PendingEvent {
  payload: Payload;
  event: JournalEvent;
}

export interface Pending {
  events: PendingEvent[];
  hooks: NewHook[];
  closeHooks: string[];
  starts: NewRun[];
  cancels: string[];
  ledger: LedgerRow[];
  /** Index in `events` where the checkpoint goes. */
  checkpoint: number | null;
  /** Called after the commit. */
  settled: Array<() => void>;
}

export function emptyPending(): Pending {
  return { events: [], hooks: [], closeHooks: [], starts: [], cancels: [], ledger: [], checkpoint: null, settled: [] };
}

export function isEmptyPending(pending: Pending): boolean {
  return (
    pending.events.length === 0 &&
    pending.hooks.length === 0 &&
    pending.closeHooks.length === 0 &&
    pending.starts.length === 0 &&
    pending.cancels.length === 0 &&
    pending.ledger.length === 0 &&
    pending.settled.length === 0
  );
}

/** Encodes now, so that a value that is too large fails where it was made. */
export function pendingEvent(draft: EventDraft, maxBytes?: number): PendingEvent {
  const payload = encodeEvent(draft, maxBytes);
  return { payload, event: readDraft(draft, { isLarge: isLarge(payload) || isReference(payload) }) };
}

/** What was refused goes before what came since. */
export function joinPending(first: Pending, then: Pending): Pending {
  const moved = then.checkpoint === null ? null : then.checkpoint + first.events.length;
  return {
    events: [...first.events, ...then.events],
    hooks: [...first.hooks, ...then.hooks],
    closeHooks: [...first.closeHooks, ...then.closeHooks],
    starts: [...first.starts, ...then.starts],
    cancels: [...first.cancels, ...then.cancels],
    ledger: [...first.ledger, ...then.ledger],
    checkpoint: moved ?? first.checkpoint,
    settled: [...first.settled, ...then.settled],
  };
}

/** The fact that so many attempts of what was open ended without a record, ahead of what comes now. */
export function withRecovery(pending: Pending, { attempts, at }: { attempts: number; at: number }): Pending {
  const recovered = pendingEvent({ type: 'run_recovered', key: '', at, meta: { attempts } });
  return joinPending({ ...emptyPending(), events: [recovered] }, pending);
}
