/** Deliveries: the inbox of a run, hooks and approvals. */

import { isEnded } from '../../runtime/store.ts';
import type { Delivery, DeliverClaim, DeliverResult, Message } from '../../runtime/store.ts';
import { hookKindFor, isClaimedWithDelivery, isDecided } from '../rules.ts';
import { takeRun } from './claim.ts';
import { copyHook, makeReady } from './state.ts';
import type { HookRecord, MemoryState, RunRecord } from './state.ts';

type NewMessage = Omit<Message, 'seq' | 'at'>;

/** S20: appends and wakes. The caller has looked for duplicates and for the end of the run. */
export function appendMessage(state: MemoryState, append: { record: RunRecord; message: NewMessage }): number {
  const { record, message } = append;
  const { run } = record;
  const seq = run.inboxHead;
  const now = state.clock.now();
  record.inbox.push({ seq, ...message, at: now });
  record.inboxIds.add(message.id);
  run.inboxHead += 1;
  run.updatedAt = now;
  state.hints.push({ kind: 'run', run: run.id });
  if (run.status === 'waiting') makeReady(state, record);
  return seq;
}

export function deliver(
  state: MemoryState,
  { delivery, claim }: { delivery: Delivery; claim: DeliverClaim | undefined },
): DeliverResult {
  const answer =
    'run' in delivery.to
      ? deliverToRun(state, { delivery, run: delivery.to.run })
      : deliverToHook(state, { delivery, token: delivery.to.hook });
  const record = answer.kind === 'ok' ? state.runs.get(answer.run) : undefined;
  if (answer.kind !== 'ok' || record === undefined || claim === undefined) return answer;
  const run = { ...record.run, hasLimits: record.run.limits.length > 0 };
  if (!isClaimedWithDelivery(run, { claim, origin: record.origin })) return answer;
  return { ...answer, claimed: { claim: takeRun(state, { record, claim }), now: state.clock.now() } };
}

function deliverToRun(state: MemoryState, to: { delivery: Delivery; run: string }): DeliverResult {
  const { delivery, run } = to;
  const record = state.runs.get(run);
  if (record === undefined) return { kind: 'not_found' };
  if (record.inboxIds.has(delivery.id)) return { kind: 'duplicate', run, hook: null };
  if (isEnded(record.run.status)) return { kind: 'gone', run, hook: null };
  const message: NewMessage = {
    id: delivery.id,
    kind: delivery.kind ?? 'wake',
    key: null,
    payload: delivery.payload,
    status: null,
    inputHash: delivery.inputHash ?? null,
    by: delivery.by ?? null,
  };
  appendMessage(state, { record, message });
  return { kind: 'ok', run, hook: null };
}

function deliverToHook(state: MemoryState, to: { delivery: Delivery; token: string }): DeliverResult {
  const { delivery, token } = to;
  const found = state.hooks.get(token);
  if (found === undefined || found.hook.kind !== hookKindFor(delivery)) return { kind: 'not_found' };
  const record = state.runs.get(found.hook.run);
  if (record === undefined) return { kind: 'not_found' };
  const answer = (kind: 'ok' | 'duplicate' | 'gone'): DeliverResult => ({
    kind,
    run: record.run.id,
    hook: copyHook(found.hook),
  });
  if (record.inboxIds.has(delivery.id) || found.answers.has(delivery.id)) return answer('duplicate');
  if (found.hook.status !== 'open') return answer('gone');
  return answer(
    delivery.decision === undefined
      ? takePayload(state, { found, record, delivery })
      : takeDecision(state, { found, record, delivery }),
  );
}

interface Taken {
  found: HookRecord;
  record: RunRecord;
  delivery: Delivery;
}

function takePayload(state: MemoryState, taken: Taken): 'ok' {
  const { found, delivery } = taken;
  appendHookMessage(state, taken);
  if (!found.hook.once) return 'ok';
  if (delivery.by !== undefined) found.hook.responders.push({ by: delivery.by, approved: true, at: state.clock.now() });
  resolve(state, taken);
  return 'ok';
}

/** S21: an approval is decided here, not by its run. */
function takeDecision(state: MemoryState, taken: Taken): 'ok' | 'duplicate' {
  const { found, delivery } = taken;
  const by = delivery.by ?? '';
  if (found.hook.responders.some((responder) => responder.by === by)) return 'duplicate';
  found.answers.add(delivery.id);
  found.hook.responders.push({ by, approved: delivery.decision?.approved === true, at: state.clock.now() });
  if (isDecided(found.hook.responders, found.hook.needed)) {
    appendHookMessage(state, taken);
    resolve(state, taken);
  }
  return 'ok';
}

function appendHookMessage(state: MemoryState, taken: Taken): void {
  const { found, record, delivery } = taken;
  const message: NewMessage = {
    id: delivery.id,
    kind: found.hook.kind === 'approval' ? 'decision' : 'hook',
    key: found.hook.key,
    payload: delivery.payload,
    status: null,
    inputHash: delivery.inputHash ?? null,
    by: delivery.by ?? null,
  };
  appendMessage(state, { record, message });
}

function resolve(state: MemoryState, { found: { hook } }: Taken): void {
  hook.status = 'resolved';
  hook.resolvedAt = state.clock.now();
}
