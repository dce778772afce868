/** Deliveries: the inbox of a run, hooks and approvals. */

import { isEnded } from '../../runtime/store.ts';
import type { Delivery, DeliverClaim, DeliverResult, Hook, Message } from '../../runtime/store.ts';
import { hookKindFor, isClaimedWithDelivery, isDecided } from '../rules.ts';
import type { Claims } from './claim.ts';
import type { Hooks } from './hooks.ts';
import { toAnswers } from './rows.ts';
import type { BriefRow, Row } from './rows.ts';
import type { Runs } from './runs.ts';
import type { OpenFile } from './open-file.ts';

export type NewMessage = Omit<Message, 'seq' | 'at'>;

export interface Inbox {
  has(run: number, id: string): boolean;
  /** S20: appends and wakes; answers the message's seq. The caller has looked for duplicates and for the end of the run. */
  append(run: BriefRow, message: NewMessage): number;
}

export function prepareInbox(file: OpenFile, runs: Runs): Inbox {
  const { db, clock, hints } = file;
  const find = db.prepare('SELECT 1 FROM messages WHERE id = ? AND run = ?');
  const insert = db.prepare(
    'INSERT INTO messages (run, seq, id, kind, target, payload, status, input_hash, sender, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const bump = db.prepare('UPDATE runs SET inbox_head = inbox_head + 1, updated_at = ? WHERE key = ?');
  return {
    has: (run, id) => find.get(id, run) !== undefined,
    append(run, message) {
      const now = clock.now();
      const seq = run.inbox_head;
      insert.run(
        run.key,
        seq,
        message.id,
        message.kind,
        message.key,
        message.payload,
        message.status,
        message.inputHash,
        message.by,
        now,
      );
      bump.run(now, run.key);
      hints.push({ kind: 'run', run: run.id });
      if (run.status === 'waiting') runs.makeReady(run);
      return seq;
    },
  };
}

interface Parts {
  runs: Runs;
  inbox: Inbox;
  hooks: Hooks;
  claims: Claims;
}

export type Deliver = (delivery: Delivery, claim: DeliverClaim | undefined) => DeliverResult;

export function prepareDeliveries(file: OpenFile, parts: Parts): Deliver {
  const { runs, claims } = parts;
  const toHook = prepareHookDeliveries(file, parts);
  return (delivery, claim) => {
    const answer =
      'run' in delivery.to
        ? deliverToRun(parts, { delivery, run: delivery.to.run })
        : toHook(delivery, delivery.to.hook);
    const run = claim === undefined || answer.kind !== 'ok' ? undefined : runs.brief(answer.run);
    if (answer.kind !== 'ok' || claim === undefined || run === undefined) return answer;
    if (!isClaimedWithDelivery({ ...run, hasLimits: run.limits !== null }, { claim, origin: run.origin }))
      return answer;
    return { ...answer, claimed: { claim: claims.take(run.id, claim), now: file.clock.now() } };
  };
}

function deliverToRun({ runs, inbox }: Parts, to: { delivery: Delivery; run: string }): DeliverResult {
  const { delivery, run } = to;
  const row = runs.brief(run);
  if (row === undefined) return { kind: 'not_found' };
  if (inbox.has(row.key, delivery.id)) return { kind: 'duplicate', run, hook: null };
  if (isEnded(row.status)) return { kind: 'gone', run, hook: null };
  inbox.append(row, toMessage(delivery, { kind: delivery.kind ?? 'wake', key: null }));
  return { kind: 'ok', run, hook: null };
}

function toMessage(delivery: Delivery, as: Pick<Message, 'kind' | 'key'>): NewMessage {
  return {
    ...as,
    id: delivery.id,
    payload: delivery.payload,
    status: null,
    inputHash: delivery.inputHash ?? null,
    by: delivery.by ?? null,
  };
}

interface Taken {
  run: BriefRow;
  hook: Hook;
  row: Row;
  delivery: Delivery;
}

/** S21 */
function prepareHookDeliveries(
  { db, clock }: OpenFile,
  { runs, inbox, hooks }: Parts,
): (delivery: Delivery, token: string) => DeliverResult {
  const find = db.prepare('SELECT answers FROM hooks WHERE token_hash = ?');
  const saveAnswers = db.prepare('UPDATE hooks SET answers = ? WHERE token_hash = ?');
  const resolve = db.prepare(
    "UPDATE hooks SET status = 'resolved', resolved_at = ?, resolved_seq = ? WHERE token_hash = ?",
  );

  const append = ({ run, hook, delivery }: Taken): void => {
    const seq = inbox.append(
      run,
      toMessage(delivery, { kind: hook.kind === 'approval' ? 'decision' : 'hook', key: hook.key }),
    );
    if (hook.once || hook.kind === 'approval') resolve.run(clock.now(), seq, hook.tokenHash);
  };
  /** An approval is decided here, not by its run. */
  const answer = (taken: Taken, approved: boolean): 'ok' | 'duplicate' => {
    const { hook, delivery } = taken;
    const by = delivery.by ?? '';
    const answers = toAnswers(taken.row);
    if (answers.some((earlier) => earlier.by === by)) return 'duplicate';
    answers.push({ by, approved, at: clock.now(), id: delivery.id });
    saveAnswers.run(JSON.stringify(answers), hook.tokenHash);
    if (isDecided(answers, hook.needed)) append(taken);
    return 'ok';
  };
  const take = (taken: Taken): 'ok' | 'duplicate' | 'gone' => {
    const { run, hook, row, delivery } = taken;
    if (inbox.has(run.key, delivery.id) || toAnswers(row).some(({ id }) => id === delivery.id)) return 'duplicate';
    if (hook.status !== 'open') return 'gone';
    if (delivery.decision !== undefined) return answer(taken, delivery.decision.approved);
    const { by, id } = delivery;
    if (hook.once && by !== undefined)
      saveAnswers.run(JSON.stringify([{ by, approved: true, at: clock.now(), id }]), hook.tokenHash);
    append(taken);
    return 'ok';
  };

  return (delivery, token) => {
    const hook = hooks.get(token);
    const row = find.get(token);
    const run = hook === null ? undefined : runs.brief(hook.run);
    if (hook === null || row === undefined || run === undefined) return { kind: 'not_found' };
    if (hook.kind !== hookKindFor(delivery)) return { kind: 'not_found' };
    const kind = take({ run, hook, row, delivery });
    return { kind, run: run.id, hook: hooks.get(token) };
  };
}
