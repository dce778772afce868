/** A hook whose token belongs to another run: its row is left out, and whoever awaits it learns why. */

import { stringifyThrown } from './codec.ts';
import { DurableError } from './errors.ts';
import { pendingEvent } from './pending.ts';
import type { Pending } from './pending.ts';
import type { CommitResult } from './store.ts';

export function withHookConflict(
  pending: Pending,
  refusal: Extract<CommitResult, { kind: 'token_taken' }>,
  options: { run: string; at: number },
): Pending {
  const { tokenHash, holder } = refusal;
  const { run, at } = options;
  const hook = pending.hooks.find((candidate) => candidate.tokenHash === tokenHash);
  if (hook === undefined) return pending;
  const error = new DurableError(
    'hook_conflict',
    `Cannot create the hook "${hook.key}" of run "${run}": its token belongs to the hook "${holder.key}" of run "${holder.run}". Use another token.`,
    { details: { run, key: hook.key, holder } },
  );
  const text = stringifyThrown(error);
  const conflict = pendingEvent({ type: 'hook_conflict', key: hook.key, at, meta: { holder }, text });
  return {
    ...pending,
    hooks: pending.hooks.filter((candidate) => candidate !== hook),
    events: pending.events.map((entry) => (isCreation(entry.event, hook.key) ? conflict : entry)),
  };
}

function isCreation(event: { type: string; key: string }, key: string): boolean {
  return event.type === 'hook_created' && event.key === key;
}
