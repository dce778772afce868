/** Deliveries: the inbox of a run, hooks and approvals. */

import type { Delivery, DeliverClaim, DeliverResult } from '../../runtime/store.ts';
import { hookKindFor } from '../rules.ts';
import { toClaim } from './claim.ts';
import type { Database } from './database.ts';
import { Blobs } from './payloads.ts';
import { toHook } from './rows.ts';
import type { JsonRow } from './rows.ts';
import { toJsonClaim } from './start.ts';

export const DELIVER_FUNCTIONS = `
CREATE FUNCTION @.deliver_all(deliveries jsonb, data bytea, claim jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  d jsonb;
  answer jsonb;
  answers jsonb := '[]';
  hints jsonb := '[]';
BEGIN
  IF jsonb_array_length(deliveries) > 1 THEN
    PERFORM 1 FROM @.runs WHERE id IN (
        SELECT e->>'run' FROM jsonb_array_elements(deliveries) e WHERE e->>'run' IS NOT NULL
        UNION SELECT r.id FROM jsonb_array_elements(deliveries) e JOIN @.hooks h ON h.token_hash = e->>'hook' JOIN @.runs r ON r.key = h.run)
      ORDER BY id FOR UPDATE;
  END IF;
  FOR d IN SELECT e FROM jsonb_array_elements(deliveries) e LOOP
    answer := @.deliver_one(d, substring(data FROM (d->'body'->>0)::integer + 1 FOR (d->'body'->>1)::integer), claim);
    hints := hints || coalesce(answer->'hints', '[]');
    answers := answers || jsonb_build_array(answer - 'hints');
  END LOOP;
  RETURN jsonb_build_object('answers', answers, 'hints', hints, 'now', @.now_ms());
END $$;

-- S20, S21
CREATE FUNCTION @.deliver_one(d jsonb, body bytea, claim jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  r @.runs;
  h @.hooks;
  takes boolean;
  answer jsonb;
BEGIN
  IF d->>'run' IS NOT NULL THEN
    SELECT * INTO r FROM @.runs WHERE id = d->>'run' FOR UPDATE;
    IF NOT FOUND THEN RETURN '{"kind":"not_found"}'; END IF;
  ELSE
    -- The hook may have gone to another run while its run was waited for.
    LOOP
      SELECT * INTO h FROM @.hooks WHERE token_hash = d->>'hook';
      IF NOT FOUND OR h.kind IS DISTINCT FROM d->>'hookKind' THEN RETURN '{"kind":"not_found"}'; END IF;
      SELECT * INTO r FROM @.runs WHERE key = h.run FOR UPDATE;
      IF NOT FOUND THEN RETURN '{"kind":"not_found"}'; END IF;
      SELECT * INTO h FROM @.hooks k WHERE k.key = h.key AND k.run = r.key;
      EXIT WHEN FOUND;
    END LOOP;
  END IF;
  -- Then nobody else has to look for it.
  takes := claim IS NOT NULL AND r.status IN ('ready', 'waiting') AND r.limits IS NULL AND claim->'queues' ? r.queue
    AND r.attempts + CASE WHEN r.origin IN ('start', 'lease') THEN 1 ELSE 0 END < 3;
  IF h.key IS NULL THEN
    answer := @.deliver_to_run(d, body, r, NOT takes);
  ELSE
    answer := @.deliver_to_hook(d, body, h, NOT takes);
    answer := answer || jsonb_build_object('hook', (SELECT to_jsonb(f) FROM @.full_hooks f WHERE f.key = h.key));
  END IF;
  answer := answer || jsonb_build_object('run', r.id);
  -- An approval that wants more answers wakes nobody.
  IF NOT takes OR answer->>'kind' <> 'ok' OR answer->'hints' IS NULL THEN RETURN answer; END IF;
  RETURN answer || jsonb_build_object('claimed', @.take_run(r.key, claim->>'nonce', (claim->>'leaseMs')::bigint));
END $$;

CREATE FUNCTION @.deliver_to_run(d jsonb, body bytea, r @.runs, wakes boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM @.messages WHERE id = d->>'id' AND run = r.key) THEN RETURN '{"kind":"duplicate"}'; END IF;
  IF r.ended_at IS NOT NULL THEN RETURN '{"kind":"gone"}'; END IF;
  RETURN jsonb_build_object('kind', 'ok', 'hints',
    @.append_message(r.key, d || jsonb_build_object('kind', coalesce(d->>'kind', 'wake'), 'key', NULL), body, wakes));
END $$;

-- S21: an approval is decided here, not by its run. The run is locked, the hook read after that.
CREATE FUNCTION @.deliver_to_hook(d jsonb, body bytea, h @.hooks, wakes boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  now bigint := @.now_ms();
  approved boolean := coalesce((d->'decision'->>'approved')::boolean, true);
  by_whom text := d->>'by';
  all_answers jsonb;
  hints jsonb;
BEGIN
  IF EXISTS (SELECT 1 FROM @.messages WHERE id = d->>'id' AND run = h.run)
    OR EXISTS (SELECT 1 FROM jsonb_array_elements(h.answers) a WHERE a->>'id' = d->>'id') THEN RETURN '{"kind":"duplicate"}'; END IF;
  IF h.status <> 'open' THEN RETURN '{"kind":"gone"}'; END IF;
  IF h.kind = 'approval' THEN by_whom := coalesce(by_whom, ''); END IF;
  all_answers := h.answers;
  IF h.kind = 'approval' OR (h.once AND by_whom IS NOT NULL) THEN
    IF h.kind = 'approval' AND EXISTS (SELECT 1 FROM jsonb_array_elements(h.answers) a WHERE a->>'by' = by_whom) THEN
      RETURN '{"kind":"duplicate"}';
    END IF;
    all_answers := all_answers || jsonb_build_array(jsonb_build_object('by', by_whom, 'approved', approved, 'at', now, 'id', d->>'id'));
    UPDATE @.hooks SET answers = all_answers WHERE key = h.key;
  END IF;
  IF h.kind = 'approval' AND approved AND jsonb_array_length(all_answers) < h.needed THEN RETURN '{"kind":"ok"}'; END IF;
  IF h.kind = 'approval' OR h.once THEN
    UPDATE @.hooks SET status = 'resolved', resolved_at = now WHERE key = h.key;
  END IF;
  hints := @.append_message(h.run,
    d || jsonb_build_object('kind', CASE WHEN h.kind = 'approval' THEN 'decision' ELSE 'hook' END, 'key', h.target), body, wakes);
  RETURN jsonb_build_object('kind', 'ok', 'hints', hints);
END $$;
`;

interface DeliverAnswer {
  kind: DeliverResult['kind'];
  run?: string;
  hook?: JsonRow | null;
  claimed?: JsonRow;
}

export function prepareDeliver(db: Database): (messages: Delivery[], claim?: DeliverClaim) => Promise<DeliverResult[]> {
  return async (messages, claim) => {
    if (messages.length === 0) return [];
    const blobs = new Blobs();
    const deliveries = messages.map(({ to, kind, payload, ...rest }) => ({
      ...rest,
      ...to,
      kind,
      hookKind: hookKindFor({ to, ...rest }),
      body: blobs.add(payload),
    }));
    const { answers, now } = await db.transition<{ answers: DeliverAnswer[]; now: number }>('deliver_all', [
      db.json(deliveries),
      blobs.bytes(),
      claim === undefined ? null : db.json(toJsonClaim(claim)),
    ]);
    return answers.map((answer) => toDeliverResult(answer, now));
  };
}

function toDeliverResult({ kind, run = '', hook: row, claimed }: DeliverAnswer, now: number): DeliverResult {
  if (kind === 'not_found') return { kind };
  const hook = row === undefined || row === null ? null : toHook(row);
  if (kind !== 'ok' || claimed === undefined) return { kind, run, hook };
  return { kind, run, hook, claimed: { claim: toClaim(claimed), now } };
}
