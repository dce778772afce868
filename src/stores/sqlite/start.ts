/** Starting runs. */

import type { ClaimOptions, NewRun, StartResult } from '../../runtime/store.ts';
import { isSameStart } from '../rules.ts';
import type { Claims } from './claim.ts';
import type { Endings } from './end.ts';
import type { Inbox } from './inbox.ts';
import type { BriefRow } from './rows.ts';
import type { Runs } from './runs.ts';
import type { OpenFile } from './open-file.ts';

export interface Starts {
  start(run: NewRun, claim: ClaimOptions | undefined): StartResult;
  /** S15: inside a commit; what exists is left as it is, and a busy thread queues. */
  startFromCommit(run: NewRun): void;
}

interface Parts {
  runs: Runs;
  inbox: Inbox;
  endings: Endings;
  claims: Claims;
}

export function prepareStarts(file: OpenFile, parts: Parts): Starts {
  const { runs } = parts;
  const findSteered = file.db.prepare(
    "SELECT runs.id FROM messages JOIN runs ON runs.key = messages.run WHERE messages.id = ? AND messages.kind = 'user' AND runs.thread = ? AND runs.tenant IS ? ORDER BY runs.key LIMIT 1",
  );
  const statusFor = (start: NewRun): 'ready' | 'queued' =>
    runs.activeOfThread(start) === undefined ? 'ready' : 'queued';
  return {
    start(start, claim) {
      const known = runs.full(start.id);
      if (known !== null) return { kind: isSameStart(known, start) ? 'exists' : 'conflict', run: known };
      if (start.thread === null) return create(parts, { start, claim, status: 'ready', now: file.clock.now() });
      // S12
      const steered = findSteered.get(start.id, start.thread, start.tenant) as { id: string } | undefined;
      if (steered !== undefined) return { kind: 'steered', active: runs.known(steered.id) };
      const active = runs.activeOfThread(start);
      if (active === undefined) return create(parts, { start, claim, status: 'ready', now: file.clock.now() });
      return startBusy(parts, { start, claim, active, now: file.clock.now() });
    },
    startFromCommit(start) {
      if (runs.brief(start.id) === undefined) runs.insert(start, statusFor(start));
    },
  };
}

interface Request {
  start: NewRun;
  claim: ClaimOptions | undefined;
  now: number;
}

/** S11 */
function startBusy(parts: Parts, request: Request & { active: BriefRow }): StartResult {
  const { runs, inbox, endings } = parts;
  const { start, active } = request;
  switch (start.whenBusy ?? 'reject') {
    case 'reject':
      return { kind: 'busy', active: runs.known(active.id) };
    case 'queue':
      return create(parts, { ...request, status: 'queued' });
    case 'steer':
      // The id is that of a message which is no start: neither may pass for the other.
      if (inbox.has(active.key, start.id)) return { kind: 'conflict', run: runs.known(active.id) };
      inbox.append(active, {
        id: start.id,
        kind: 'user',
        key: null,
        payload: start.input,
        status: null,
        inputHash: start.inputHash,
        by: null,
      });
      return { kind: 'steered', active: runs.known(active.id) };
    case 'interrupt':
      endings.cancel(active);
      return create(parts, {
        ...request,
        status: runs.activeOfThread(start) === undefined ? 'ready' : 'queued',
      });
  }
}

function create({ runs, claims }: Parts, request: Request & { status: 'ready' | 'queued' }): StartResult {
  const { claim, now } = request;
  const run = runs.insert(request.start, request.status);
  const isClaimed = request.status === 'ready' && run.limits.length === 0;
  if (claim === undefined || !isClaimed) return { kind: 'created', run, token: null, now };
  // S13, S33
  const { run: claimed, token } = claims.take(run.id, claim);
  return { kind: 'created', run: claimed, token, now };
}
