/** The controls that people have. */

import type { Control, ControlResult } from '../../runtime/store.ts';
import type { Database } from './database.ts';
import { toRun } from './rows.ts';
import type { JsonRow } from './rows.ts';

export const CONTROL_FUNCTIONS = `
-- S22
CREATE FUNCTION @.control_run(of_id text, control text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  r @.runs;
  hints jsonb := '[]';
  done boolean := true;
BEGIN
  IF control <> 'resume' THEN PERFORM @.lock_wide('{}', '{}', ARRAY[of_id], '{}'); END IF;
  SELECT * INTO r FROM @.runs WHERE id = of_id FOR UPDATE;
  IF NOT FOUND THEN RETURN '{"kind":"not_found"}'; END IF;
  IF r.ended_at IS NOT NULL OR (control = 'resume' AND r.status <> 'parked') THEN
    done := false;
  ELSIF control = 'cancel' THEN
    hints := @.cancel_run(r.key);
  ELSIF control = 'resume' THEN
    UPDATE @.runs SET attempts = 0, suspects = NULL, origin = 'yield' WHERE key = r.key;
    UPDATE @.payloads SET park_code = NULL, park_details = NULL WHERE run = r.key;
    hints := @.make_ready(r);
  ELSE
    hints := @.hand_over(r) || @.end_run(r.key, 'failed', NULL, NULL, 'terminated') || @.cancel_children(r.id);
  END IF;
  RETURN jsonb_build_object('kind', CASE WHEN done THEN 'ok' ELSE 'refused' END, 'run', @.run_row(of_id), 'hints', hints);
END $$;

-- S22: user messages that a terminated run has not seen become runs of its thread.
CREATE FUNCTION @.hand_over(r @.runs) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  m @.messages;
  made bigint;
  hints jsonb := '[]';
BEGIN
  FOR m IN SELECT * FROM @.messages WHERE run = r.key AND seq >= r.seen AND kind = 'user' ORDER BY seq LOOP
    made := @.insert_run(jsonb_build_object('id', m.id, 'workflow', r.workflow, 'version', r.version, 'queue', r.queue, 'thread', r.thread,
      'tenant', r.tenant, 'inputHash', coalesce(m.input_hash, ''), 'attributes', (SELECT attributes FROM @.payloads WHERE run = r.key),
      'limits', coalesce(r.limits, '[]')),
      m.payload, CASE WHEN r.thread IS NULL THEN 'ready' ELSE 'queued' END);
    IF made IS NOT NULL THEN hints := hints || @.created_hints(made); END IF;
  END LOOP;
  RETURN hints;
END $$;
`;

export function prepareControl(db: Database): (run: string, control: Control) => Promise<ControlResult> {
  return async (run, control) => {
    const answer = await db.transition<{ kind: ControlResult['kind']; run: JsonRow }>('control_run', [
      db.text(run),
      control,
    ]);
    return answer.kind === 'not_found' ? { kind: 'not_found' } : { kind: answer.kind, run: toRun(answer.run) };
  };
}
