/** A run that another one starts, and waits for: its start, whose it is, and how it ended. */

import { stringifyValue } from './codec.ts';
import { DurableError } from './errors.ts';
import { childStarted } from './lineage.ts';
import { showNotices } from './notices.ts';
import type { RunCore } from './run-core.ts';
import type { EndStatus, NewRun, Run } from './store.ts';

const CONFIRM_RETRY_MS = 500;

/** Starts the child, or finds that it was started, and resolves with its result. Throws what the child failed with. */
export async function runChild(core: RunCore, key: string, run: NewRun): Promise<unknown> {
  core.assertNotCancelled(core.scope());
  // Ids that are derived from the parent's are nobody else's.
  const isDerived = run.id.startsWith(`${core.run.id}.`);
  const answered = { yet: false };
  const confirm = (): void => {
    if (!isDerived) void confirmChild(core, run.id, { key, answered });
  };
  const { onChild, place } = core.scope();
  const start = (): void => {
    onChild?.(run);
    core.pending.starts.push({ ...run, parent: { run: core.run.id, key } });
    core.record(childStarted(key, { ...run, senders: place?.senders?.() ?? [] }));
    core.pending.settled.push(confirm);
  };
  const isStarted = core.journal.facts(key).some((event) => event.type === 'child_started');
  if (core.mayStart && !isStarted) start();
  else if (!isStarted || !isDerived) core.hold(isStarted ? confirm : start, !isStarted);
  core.children.set(key, run.id);
  const hideNotices = showNotices(core, key);
  try {
    const message = await core.messages.buffer(key).take();
    core.children.delete(key);
    if (message.status === 'completed') return message.value;
    throw message.value ?? childEnded(run.id, message.status);
  } finally {
    hideNotices();
    answered.yet = true;
  }
}

/**
 * A parent would wait for ever for the end of a run that is not its child. Looked at after the start was committed, when it is
 * certain whose the id is; the answer is journaled, as replay must not ask again. Busy meanwhile: the run does not go to wait.
 */
async function confirmChild(
  core: RunCore,
  id: string,
  { key, answered }: { key: string; answered: { yet: boolean } },
): Promise<void> {
  if (answered.yet) return;
  const leaf = core.root.presence.leaf('busy');
  let other: Run | null | undefined;
  while (other === undefined && !core.dropped && !answered.yet) {
    other = await core.store.get(id).catch(() => undefined);
    if (other === undefined) await new Promise<void>((resolve) => core.clock.schedule(resolve, CONFIRM_RETRY_MS));
  }
  leaf.leave();
  if (other === undefined || other === null || core.dropped || answered.yet) return;
  if (other.parent?.run === core.run.id && other.parent.key === key) return;
  const error = new DurableError(
    'run_conflict',
    `Cannot start the child "${id}" of run "${core.run.id}": there is a run with this id already (workflow "${other.workflow}", ${other.status}). Give the child another id, or leave it out.`,
    { details: { run: id, workflow: other.workflow, status: other.status } },
  );
  core.children.delete(key);
  core.record({ type: 'hook_conflict', key, meta: { child: id }, text: stringifyValue(error, 'an error') });
}

/** The error for a child that left none: somebody ended it from outside. */
function childEnded(run: string, status: EndStatus | null): DurableError {
  const details = { run, status };
  if (status === 'failed') return new DurableError('run_failed', `The child run "${run}" was terminated.`, { details });
  return new DurableError('cancelled', `The child run "${run}" was cancelled.`, { details });
}
