/** When a run may wait, and what its commits take along, by what it does after them. */

import { COMPLETIONS } from './context.ts';
import { withClosings } from './hook-closing.ts';
import type { InFlight } from './holding.ts';
import { emptyPending, joinPending, pendingEvent, withRecovery } from './pending.ts';
import type { Pending } from './pending.ts';
import type { RunCore } from './run-core.ts';
import { leftoverRuns } from './run-end.ts';
import type { NewRun, StreamWrite, Then } from './store.ts';

/** Every branch waits for something from outside, and nothing that was recorded has yet to reach the code. */
export function mayWait({ queue, root, pending, holding }: RunCore): boolean {
  return (
    root.presence.state === 'waiting' &&
    queue.empty &&
    queue.resting &&
    !holding &&
    !pending.events.some(({ event }) => COMPLETIONS.has(event.type))
  );
}

/** User messages that the end of the run leaves to the next ones. */
export function drainLeftovers(core: RunCore): NewRun[] {
  return leftoverRuns(core.run, core.messages.buffer('').drain());
}

/** All that is pending, and the attempts that have died and that the journal does not know of. */
export function takePending(core: RunCore, then: Then): Pending {
  let pending = withClosings(core.pending, (hook) => core.messages.isAnswered(hook));
  core.pending = emptyPending();
  const { recoveries, bodies, retrying } = core;
  // What this process leaves in mid-attempt may have had its effect.
  const tried = retrying > 0 || [...bodies].some((body) => body.presence.state === 'busy');
  const left = then.kind === 'yield' && tried;
  const attempts = recoveries + (left ? 1 : 0);
  if (attempts > 0 && (pending.events.length > 0 || then.kind === 'park' || then.kind === 'yield')) {
    pending = withRecovery(pending, { attempts, at: core.storeNow() });
    core.recoveries = 0;
    core.recoveriesInFlight += attempts;
  }
  if (then.kind === 'end') {
    pending.starts.push(...drainLeftovers(core));
    if (then.status !== 'completed') pending.cancels.push(...core.children.values());
  }
  return pending;
}

/** The event and the last chunks of an end are written with it or not at all. */
export function withEnd(
  core: RunCore,
  { pending, writes, then, closing }: Pick<InFlight, 'pending' | 'writes' | 'then'> & { closing: () => StreamWrite[] },
): Pick<InFlight, 'pending' | 'writes'> {
  if (then.kind !== 'end') return { pending, writes };
  const event = pendingEvent({ type: `run_${then.status}`, key: '', at: core.storeNow() });
  return {
    pending: joinPending(pending, { ...emptyPending(), events: [event] }),
    writes: [...writes, ...closing()],
  };
}
