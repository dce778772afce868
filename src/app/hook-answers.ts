/** What a delivery to a hook led to. */

import { DurableError } from '../runtime/errors.ts';
import type { DeliverResult, Hook } from '../runtime/store.ts';

/** Throws `hook_not_found`, `hook_already_resumed`, `hook_closed`. */
export function assertResumed(answer: DeliverResult | undefined, now: number): void {
  switch (answer?.kind) {
    case 'ok':
    case 'duplicate':
      return;
    case 'gone':
      throw hookGone(answer.hook, { run: answer.run, now });
    default:
      throw hookNotFound();
  }
}

export function hookNotFound(): DurableError {
  return new DurableError(
    'hook_not_found',
    'There is no hook with this token. Check the token; hooks of removed runs are gone.',
  );
}

function hookGone(hook: Hook | null, { run, now }: { run: string; now: number }): DurableError {
  if (hook?.status === 'resolved') {
    const at = hook.resolvedAt ?? now;
    const by = hook.responders.at(-1)?.by;
    const seconds = Math.max(0, Math.round((now - at) / 1_000));
    return new DurableError(
      'hook_already_resumed',
      `Cannot resume the hook "${hook.key}" of run "${run}": it was resumed ${seconds} s ago${by === undefined ? '' : ` by ${by}`}. The first payload counts.`,
      { details: { run, key: hook.key, at, by: by ?? null } },
    );
  }
  return new DurableError(
    'hook_closed',
    `Cannot resume the hook${hook === null ? '' : ` "${hook.key}"`} of run "${run}": the run has ended or closed it.`,
    {
      details: { run, key: hook?.key ?? null },
    },
  );
}
