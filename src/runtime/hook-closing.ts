/** A hook that nobody answered in time: it is closed in the commit that says so, unless an answer came first. */

import { DurableError } from './errors.ts';
import type { JournalEvent } from './event.ts';
import { pendingEvent } from './pending.ts';
import type { Pending } from './pending.ts';

export interface ClosedHook {
  key: string;
  tokenHash: string;
}

/**
 * Decided when the commit is made, and again after it was refused because an answer has come meanwhile.
 */
export function withClosings(pending: Pending, isAnswered: (hook: string) => boolean): Pending {
  if (!pending.events.some(({ event }) => event.type === 'hook_closed')) return pending;
  const closeHooks: string[] = [];
  const events = pending.events.map((entry) => {
    const { type, key, at } = entry.event;
    if (type !== 'hook_closed') return entry;
    const hook = hookOf(entry.event);
    const closed = !isAnswered(hook.key);
    if (closed) closeHooks.push(hook.tokenHash);
    return pendingEvent({ type, key, at, meta: closingMeta(hook, closed) });
  });
  return { ...pending, events, closeHooks };
}

export function closingMeta({ key, tokenHash }: ClosedHook, closed: boolean): Record<string, unknown> {
  return { hook: key, tokenHash, closed };
}

export function hookOf({ meta }: JournalEvent): ClosedHook {
  return { key: String(meta?.['hook']), tokenHash: String(meta?.['tokenHash']) };
}

/** False: an answer came first. */
export function wasClosed(event: JournalEvent | undefined): boolean {
  return event?.type === 'hook_closed' && event.meta?.['closed'] === true;
}

export function hookExpired({ key }: ClosedHook, run: string): DurableError {
  return new DurableError(
    'hook_expired',
    `Nobody resumed the hook "${key}" of run "${run}" in time, and it is closed. Catch this where the hook is awaited, or give it more time (expiresIn).`,
    { details: { run, key } },
  );
}
