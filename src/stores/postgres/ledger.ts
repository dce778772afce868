/** The ledger: a row for each attempt at a model turn, and their sums. Rows outlive their runs. */

import { NO_TOTALS, scopeKey, scopeKeysOf } from '../ledger-totals.ts';
import type { LedgerQuery, LedgerRow, LedgerScope, LedgerTotals, Page } from '../../runtime/store.ts';
import { pageSize } from '../rules.ts';
import type { Database } from './database.ts';
import { Filter, ROWS_PER_PAGE, toPage } from './paging.ts';
import type { Blobs } from './payloads.ts';
import { toLedgerRow } from './rows.ts';
import type { JsonRow } from './rows.ts';

export const LEDGER_FUNCTIONS = `
-- S15. Answers the rows that were not there.
CREATE FUNCTION @.add_ledger(entries jsonb, data bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  n jsonb;
  added jsonb := '[]';
BEGIN
  FOR n IN SELECT e FROM jsonb_array_elements(entries) e LOOP
    INSERT INTO @.ledger (id, run, thread, tenant, turn, attempt, provider, model, outcome, input_tokens, output_tokens, tool_calls, nano_usd, details, at)
      VALUES (n->>'id', n->>'run', n->>'thread', n->>'tenant', n->>'key', (n->>'attempt')::integer, n->>'provider', n->>'model', n->>'outcome',
        (n->>'inputTokens')::bigint, (n->>'outputTokens')::bigint, (n->>'toolCalls')::integer, (n->>'nanoUsd')::bigint,
        substring(data FROM (n->'body'->>0)::integer + 1 FOR (n->'body'->>1)::integer), (n->>'at')::bigint)
      ON CONFLICT (id) DO NOTHING;
    IF FOUND THEN added := added || jsonb_build_array(n); END IF;
  END LOOP;
  RETURN added;
END $$;

-- S41
CREATE FUNCTION @.count_ledger(entries jsonb) RETURNS void LANGUAGE sql VOLATILE AS $$
  INSERT INTO @.ledger_totals AS t (scope, attempts, turns, tool_calls, input_tokens, output_tokens, nano_usd, unpriced)
    SELECT s.scope, count(*), count(*) FILTER (WHERE n->>'outcome' = 'completed'), sum((n->>'toolCalls')::bigint),
      sum(coalesce((n->>'inputTokens')::bigint, 0)), sum(coalesce((n->>'outputTokens')::bigint, 0)), sum(coalesce((n->>'nanoUsd')::bigint, 0)),
      count(*) FILTER (WHERE n->>'nanoUsd' IS NULL)
    FROM jsonb_array_elements(entries) n, jsonb_array_elements_text(n->'scopes') s (scope) GROUP BY s.scope ORDER BY s.scope
  ON CONFLICT (scope) DO UPDATE SET attempts = t.attempts + excluded.attempts, turns = t.turns + excluded.turns,
    tool_calls = t.tool_calls + excluded.tool_calls, input_tokens = t.input_tokens + excluded.input_tokens,
    output_tokens = t.output_tokens + excluded.output_tokens, nano_usd = t.nano_usd + excluded.nano_usd, unpriced = t.unpriced + excluded.unpriced
$$;
`;

/** S40: of a run by its rows, else by the sums that are kept. */
const TOTALS = `
  SELECT to_jsonb(t) AS row FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS s (scope, run, n) LEFT JOIN LATERAL (
    SELECT count(*) AS attempts, count(*) FILTER (WHERE outcome = 'completed') AS turns, coalesce(sum(tool_calls), 0) AS tool_calls,
      coalesce(sum(input_tokens), 0) AS input_tokens, coalesce(sum(output_tokens), 0) AS output_tokens, coalesce(sum(nano_usd), 0) AS nano_usd,
      count(*) FILTER (WHERE nano_usd IS NULL) AS unpriced FROM @.ledger l WHERE l.run = s.run HAVING s.run IS NOT NULL
    UNION ALL
    SELECT attempts, turns, tool_calls, input_tokens, output_tokens, nano_usd, unpriced FROM @.ledger_totals k WHERE k.scope = s.scope
  ) t ON true ORDER BY s.n`;

/** A row as `add_ledger` and `count_ledger` take it. */
export function toJsonLedger({ details, ...row }: LedgerRow, blobs: Blobs): Record<string, unknown> {
  return { ...row, scopes: scopeKeysOf({ ...row, details }), body: blobs.addOrNull(details) };
}

export interface Ledger {
  ledger(query: LedgerQuery): Promise<Page<LedgerRow>>;
  ledgerTotals(scopes: readonly LedgerScope[]): Promise<LedgerTotals[]>;
}

export function prepareLedger(db: Database): Ledger {
  return {
    async ledger(query) {
      const size = pageSize(query.limit, ROWS_PER_PAGE);
      const { sql, values } = new Filter(db)
        .text('f.run', query.run)
        .text('f.thread', query.thread)
        .tenant('f.tenant', query.tenant)
        .number('f.key >', query.cursor === undefined ? undefined : Number(query.cursor))
        .select('@.ledger f');
      const rows = await db.query<{ row: string }>('', `${sql} ORDER BY f.key LIMIT ${size + 1}`, values);
      return toPage(
        rows.map(({ row }) => db.parse(row) as JsonRow),
        { size, toItem: toLedgerRow },
      );
    },
    async ledgerTotals(scopes) {
      const runs = scopes.map((scope) => ('run' in scope ? db.texts([scope.run]).slice(1, -1) : 'NULL'));
      const keys = scopes.map((scope) => ('run' in scope ? '' : scopeKey(scope)));
      const rows = await db.query<{ row: string | null }>('totals', TOTALS, [db.texts(keys), `{${runs.join(',')}}`]);
      return rows.map(({ row }) => (row === null ? { ...NO_TOTALS } : toTotals(db.parse(row) as JsonRow)));
    },
  };
}

function toTotals(row: JsonRow): LedgerTotals {
  return {
    attempts: Number(row['attempts']),
    turns: Number(row['turns']),
    toolCalls: Number(row['tool_calls']),
    inputTokens: Number(row['input_tokens']),
    outputTokens: Number(row['output_tokens']),
    nanoUsd: Number(row['nano_usd']),
    unpriced: Number(row['unpriced']),
  };
}
