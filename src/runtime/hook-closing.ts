/**
 * A hook that its run closes: nobody answered in time, or its code wants no more of it. It is closed in the commit that says so.
 *
 *  C1 A hook that takes one answer and has it stays as it is: the answer counts, also where it came while the commit was made.
 *  C2 Of one that takes many, the closing comes after all messages that the hook took: none of them is lost, and none follows.
 */

import { DurableError } from './errors.ts';
import type { JournalEvent } from './event.ts';
import { pendingEvent } from './pending.ts';
import type { Pending, PendingEvent } from './pending.ts';

export interface ClosedHook {
  key: string;
  tokenHash: string;
  /** Default true. */
  once?: boolean;
  /** Its run's code closes it. Default: nobody answered in time. */
  disposed?: boolean;
}

/**
 * Decided when the commit is made, and again after it was refused because a message to the hook has come meanwhile.
 */
export function withClosings(pending: Pending, isAnswered: (hook: string) => boolean): Pending {
  if (!pending.events.some(isClosing)) return pending;
  const closeHooks: string[] = [];
  const events = pending.events.map((entry) => {
    if (!isClosing(entry)) return entry;
    const { type, key, at } = entry.event;
    const hook = hookOf(entry.event);
    const closed = hook.once === false || !isAnswered(hook.key); // C1
    if (closed) closeHooks.push(hook.tokenHash);
    return pendingEvent({ type, key, at, meta: closingMeta(hook, closed) });
  });
  return afterMessages({ ...pending, events, closeHooks });
}

/** C2 */
function afterMessages(pending: Pending): Pending {
  let { events, checkpoint } = pending;
  for (const entry of pending.events.filter(isClosing)) {
    const { key, once } = hookOf(entry.event);
    if (once === true) continue;
    const from = events.indexOf(entry);
    const to = events.findLastIndex(({ event }) => event.type === 'message_received' && event.key === key);
    if (to < from) continue;
    events = [...events.slice(0, from), ...events.slice(from + 1, to + 1), entry, ...events.slice(to + 1)];
    if (checkpoint !== null && checkpoint > from && checkpoint <= to) checkpoint -= 1;
  }
  return { ...pending, events, checkpoint };
}

function isClosing({ event }: PendingEvent): boolean {
  return event.type === 'hook_closed';
}

export function closingMeta(hook: ClosedHook, closed: boolean): Record<string, unknown> {
  const { key, tokenHash, once = true, disposed = false } = hook;
  return { hook: key, tokenHash, closed, ...(once ? {} : { once }), ...(disposed ? { disposed } : {}) };
}

export function hookOf({ meta }: JournalEvent): ClosedHook {
  return {
    key: String(meta?.['hook']),
    tokenHash: String(meta?.['tokenHash']),
    once: meta?.['once'] !== false,
    disposed: meta?.['disposed'] === true,
  };
}

/** False: an answer came first. */
export function wasClosed(event: JournalEvent | undefined): boolean {
  return event?.type === 'hook_closed' && event.meta?.['closed'] === true;
}

/** What those who await the hook are told. */
export function closingError({ key, disposed }: ClosedHook, run: string): DurableError {
  const details = { run, key };
  if (disposed === true) {
    return new DurableError(
      'hook_closed',
      `The hook "${key}" of run "${run}" was disposed of, and it has no more payloads. Await it before dispose(), or do not close it.`,
      { details },
    );
  }
  return new DurableError(
    'hook_expired',
    `Nobody resumed the hook "${key}" of run "${run}" in time, and it is closed. Catch this where the hook is awaited, or give it more time (expiresIn).`,
    { details },
  );
}
