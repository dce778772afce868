/** Facts and what belongs to them, added to a run's next commit. */

import type { Append } from './context.ts';
import { pendingEvent } from './pending.ts';
import type { RunCore } from './run-core.ts';

export function addAppend(core: RunCore, { facts = [], hooks = [], ledger = [], checkpoint = false }: Append): void {
  if (core.misled) return;
  // What is released before the checkpoint is in force is older than it: the time after it is the same for who begins there.
  const events = facts.map((fact) =>
    pendingEvent(checkpoint ? { ...fact, at: core.latest() } : fact, core.maxValueBytes),
  );
  if (checkpoint && events.length > 0) core.pending.checkpoint = core.pending.events.length;
  core.pending.events.push(...events);
  core.pending.hooks.push(...hooks);
  core.pending.ledger.push(...ledger);
  core.request();
}
