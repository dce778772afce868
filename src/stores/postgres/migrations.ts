/**
 * The schema, as numbered steps forward. A step that was released never changes; a function that a later release changes gets another
 * name, since processes of the earlier release go on calling theirs while the new ones are rolled out.
 */

import { DurableError } from '../../runtime/errors.ts';
import { CLAIM_FUNCTIONS } from './claim.ts';
import type { PostgresConnection } from './client.ts';
import { COMMIT_FUNCTIONS } from './commit-functions.ts';
import { CONTROL_FUNCTIONS } from './control.ts';
import { DELIVER_FUNCTIONS } from './deliver.ts';
import { LEDGER_FUNCTIONS } from './ledger.ts';
import { LIMIT_FUNCTIONS } from './limits.ts';
import { PARTS_FUNCTIONS } from './parts.ts';
import { PLAN_SETTINGS } from './plans.ts';
import { RETENTION_FUNCTIONS } from './retention.ts';
import { START_FUNCTIONS } from './start.ts';
import { TABLES } from './tables.ts';
import { TRANSITIONS } from './transitions.ts';
import { UPKEEP_FUNCTIONS } from './upkeep.ts';

export const MIGRATIONS: readonly string[] = [
  [
    TABLES,
    TRANSITIONS,
    LIMIT_FUNCTIONS,
    START_FUNCTIONS,
    CLAIM_FUNCTIONS,
    LEDGER_FUNCTIONS,
    COMMIT_FUNCTIONS,
    DELIVER_FUNCTIONS,
    CONTROL_FUNCTIONS,
    PARTS_FUNCTIONS,
    UPKEEP_FUNCTIONS,
    RETENTION_FUNCTIONS,
    PLAN_SETTINGS,
  ].join('\n'),
];

/** A plain identifier, so that it stands in quotes anywhere. */
const SCHEMA_NAME = /^[a-z_][a-z0-9_]{0,39}$/;

/** `"name".` for a schema's name. Throws `invalid_argument` for one that needs more than lower-case letters, digits and `_`. */
export function schemaPrefix(schema: string): string {
  if (SCHEMA_NAME.test(schema)) return `"${schema}".`;
  throw new DurableError(
    'invalid_argument',
    `Cannot use the schema ${JSON.stringify(schema)}: write its name with lower-case letters, digits and "_", 40 characters at most.`,
    { details: { schema } },
  );
}

/** `@.` stands for the schema in all statements. */
export function inSchema(sql: string, prefix: string): string {
  return sql.replaceAll('@.', prefix);
}

export interface Migration {
  /** Steps that the schema had taken before. */
  from: number;
  /** Steps that it has taken now. */
  to: number;
}

const VERSION_OF = `
  SELECT (to_regnamespace($1::text) IS NOT NULL)::text AS is_there, (to_regclass($1::text || '.migrations') IS NOT NULL)::text AS is_ours,
    (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1::text)::text AS relations`;

/** How many steps a schema has taken. Throws `store_newer` for more than this release knows, `invalid_argument` if it is another application's. */
export async function schemaVersion(connection: PostgresConnection, schema: string): Promise<number> {
  const { rows } = await connection.query({ text: VERSION_OF, values: [schema] });
  const [found] = rows;
  if (found?.['is_ours'] !== 'true') {
    if (Number(found?.['relations']) > 0) throw notOurs(schema);
    return 0;
  }
  const answer = await connection.query({
    text: `SELECT coalesce(max(number), 0)::text AS version FROM ${schemaPrefix(schema)}migrations`,
    values: [],
  });
  const version = Number(answer.rows[0]?.['version']);
  if (version > MIGRATIONS.length) throw newerSchema(schema, version);
  return version;
}

/**
 * Brings a schema up to this release's, in one transaction that other instances wait for; makes it where there is none.
 * Throws `store_newer` and `invalid_argument` as `schemaVersion` does; nothing is changed then.
 */
export async function migrateSchema(connection: PostgresConnection, schema: string): Promise<Migration> {
  const prefix = schemaPrefix(schema);
  const run = (text: string): Promise<unknown> => connection.query({ text, values: [] });
  await run('BEGIN');
  try {
    // Others wait for this one: it must not outlive a process that is gone without a word.
    await run("SET LOCAL idle_in_transaction_session_timeout = '30s'");
    await run(`SELECT pg_advisory_xact_lock(hashtextextended('everturn migrations of ${schema}', 0))`);
    const from = await schemaVersion(connection, schema);
    if (from === 0) await makeSchema(connection, schema);
    for (const [index, step] of MIGRATIONS.entries()) {
      if (index < from) continue;
      await connection.query(inSchema(step, prefix));
      await run(`INSERT INTO ${prefix}migrations (number, at) VALUES (${index + 1}, clock_timestamp())`);
    }
    await run('COMMIT');
    return { from, to: MIGRATIONS.length };
  } catch (error) {
    await run('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/** Only where it is missing: who may use a schema may not always make one. */
async function makeSchema(connection: PostgresConnection, schema: string): Promise<void> {
  const { rows } = await connection.query({ text: VERSION_OF, values: [schema] });
  if (rows[0]?.['is_there'] !== 'true')
    await connection.query({ text: `CREATE SCHEMA ${schemaPrefix(schema)}`.slice(0, -1), values: [] });
  await connection.query({
    text: `CREATE TABLE ${schemaPrefix(schema)}migrations (number integer PRIMARY KEY, at timestamptz NOT NULL)`,
    values: [],
  });
}

function newerSchema(schema: string, found: number): DurableError {
  return new DurableError(
    'store_newer',
    `Cannot use the schema "${schema}": it is number ${found} and this release knows up to ${MIGRATIONS.length}. ` +
      'Run the release that wrote it, or a newer one.',
    { details: { schema, found, known: MIGRATIONS.length } },
  );
}

function notOurs(schema: string): DurableError {
  return new DurableError(
    'invalid_argument',
    `Cannot use the schema "${schema}": it holds another application's tables. Give the store a schema of its own.`,
    { details: { schema } },
  );
}
