/** Starting runs. */

import type { ClaimOptions, NewRun, StartResult, WhenBusy } from '../../runtime/store.ts';
import { isSameStart } from '../rules.ts';
import { takeRun } from './claim.ts';
import { cancelRun } from './end.ts';
import { appendMessage } from './inbox.ts';
import { copyRun, findThread, insertRun } from './state.ts';
import type { MemoryState, RunRecord } from './state.ts';

export function start(state: MemoryState, request: { start: NewRun; claim: ClaimOptions | undefined }): StartResult {
  const known = state.runs.get(request.start.id);
  if (known !== undefined)
    return { kind: isSameStart(known.run, request.start) ? 'exists' : 'conflict', run: copyRun(known.run) };
  const steered = steeredInto(state, request.start);
  if (steered !== undefined) return { kind: 'steered', active: copyRun(steered.run) };
  const active = activeOf(state, request.start);
  if (active === null) return create(state, { ...request, status: 'ready' });
  return startBusy(state, { ...request, active });
}

/** S12 */
function steeredInto(state: MemoryState, start: NewRun): RunRecord | undefined {
  return findThread(state, start)?.runs.find(
    (record) =>
      record.inboxIds.has(start.id) &&
      record.inbox.some((message) => message.id === start.id && message.kind === 'user'),
  );
}

function activeOf(state: MemoryState, start: NewRun): RunRecord | null {
  return findThread(state, start)?.active ?? null;
}

/** S11 */
function startBusy(
  state: MemoryState,
  request: { start: NewRun; claim: ClaimOptions | undefined; active: RunRecord },
): StartResult {
  const { start, active } = request;
  const whenBusy: WhenBusy = start.whenBusy ?? 'reject';
  switch (whenBusy) {
    case 'reject':
      return { kind: 'busy', active: copyRun(active.run) };
    case 'queue':
      return create(state, { ...request, status: 'queued' });
    case 'steer':
      // The id is that of a message which is no start: neither may pass for the other.
      if (active.inboxIds.has(start.id)) return { kind: 'conflict', run: copyRun(active.run) };
      steer(state, { start, active });
      return { kind: 'steered', active: copyRun(active.run) };
    case 'interrupt':
      cancelRun(state, active);
      return create(state, { ...request, status: activeOf(state, start) === null ? 'ready' : 'queued' });
  }
}

function steer(state: MemoryState, steered: { start: NewRun; active: RunRecord }): void {
  const { start, active } = steered;
  const message = {
    id: start.id,
    kind: 'user' as const,
    key: null,
    payload: start.input,
    status: null,
    inputHash: start.inputHash,
    by: null,
  };
  appendMessage(state, { record: active, message });
}

function create(
  state: MemoryState,
  request: { start: NewRun; claim: ClaimOptions | undefined; status: 'ready' | 'queued' },
): StartResult {
  const record = insertRun(state, request);
  const now = state.clock.now();
  // S13, S33
  const token =
    request.claim !== undefined && request.status === 'ready' && record.run.limits.length === 0
      ? takeRun(state, { record, claim: request.claim }).token
      : null;
  return { kind: 'created', run: copyRun(record.run), token, now };
}

/** S15: a start inside a commit; what exists is left as it is, and a busy thread queues. */
export function startFromCommit(state: MemoryState, start: NewRun): void {
  if (state.runs.has(start.id)) return;
  insertRun(state, { start, status: activeOf(state, start) === null ? 'ready' : 'queued' });
}
