/** Makes the runs of a dead worker due, as their leases would become if enough time passed. */

import { bareCommit } from '../runtime/handback.ts';
import type { Commit, Run, Store } from '../runtime/store.ts';

const PAGE = 500;

/** Runs that are still held under one of the nonces are due now; the next claim counts as one after an expired lease. */
export async function expireLeases(store: Store, nonces: ReadonlySet<string>): Promise<void> {
  const held: Run[] = [];
  let cursor: string | undefined;
  do {
    const page = await store.list({ status: ['running'], limit: PAGE, ...(cursor === undefined ? {} : { cursor }) });
    held.push(...page.items.filter((run) => run.nonce !== null && nonces.has(run.nonce)));
    cursor = page.cursor ?? undefined;
  } while (cursor !== undefined);
  if (held.length > 0) await store.commit(held.map(toLastHeartbeat));
}

/** A heartbeat with a lease of no length: it records nothing and changes no count. */
function toLastHeartbeat(run: Run): Commit {
  const token = { epoch: run.epoch, nonce: run.nonce ?? '' };
  const id = `expire-${run.id}-${run.epoch}`;
  return bareCommit({ run, token }, { id, leaseMs: 0, then: { kind: 'run', heartbeat: true } });
}
