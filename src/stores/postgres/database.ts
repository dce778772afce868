/**
 * The way of every call to the database.
 *
 *  D1 A call is one statement, so one round trip and one transaction (a commit that turns out not to be plain is two).
 *  D2 The schema is looked at before the first call, and again after a failure that says it is missing; until it is as this release
 *     needs it, calls fail.
 *  D3 A transaction that met another one (`40P01`, `40001`) is sent again: nothing of it was applied.
 *  D4 After `close` no statement begins; those that have begun are waited for.
 */

import type { Clock } from '../../runtime/clock.ts';
import type { Hint } from '../../runtime/store.ts';
import { DurableError } from '../../runtime/errors.ts';
import { FreshPages } from '../fresh-pages.ts';
import { closedError } from '../rules.ts';
import { QUERY_TIMEOUT_MS, withSession } from './client.ts';
import type { PostgresConnection, PostgresPool } from './client.ts';
import { isConflict, isMissing, toStoreError } from './failure.ts';
import { inSchema, migrateSchema, MIGRATIONS, schemaPrefix, schemaVersion } from './migrations.ts';
import { fromJson, toJson, toText, toTextArray } from './payloads.ts';
import { toHints } from './rows.ts';
import type { JsonRow } from './rows.ts';

export interface Database {
  /** Whether statements are prepared. */
  readonly isPrepared: boolean;
  /** A function that answers JSON; its hints are told. */
  transition<T>(name: string, values: unknown[]): Promise<T>;
  /** A function that answers rows. */
  rows<T>(name: string, values: unknown[]): Promise<T[]>;
  /** A statement. With a name it is prepared where that is on. */
  query<T = Record<string, string | null>>(name: string, sql: string, values: unknown[]): Promise<T[]>;
  tell(hints: Hint[]): void;
  /** What the answer that came last has added to streams, until the macrotask in which it came has ended. */
  readonly fresh: FreshPages;
  json(value: unknown): string;
  parse(json: string): unknown;
  text(text: string): string;
  texts(texts: readonly string[]): string;
}

export interface DatabaseOptions {
  pool: () => Promise<PostgresPool>;
  schema: string;
  /** What errors call the database; no credentials. */
  where: string;
  prepare: boolean;
  migrate: boolean;
  tell: (hints: Hint[]) => void;
  clock: Pick<Clock, 'defer'>;
}

/** What the server says it does with a commit. */
export interface ServerSettings {
  isDurable: boolean;
  /** How much of what others commit a transaction sees. */
  isolation: string;
}

const MOST_TRIES = 10;
const asText = { getTypeParser: () => (value: string) => value };

export class PostgresDatabase implements Database {
  readonly #options: DatabaseOptions;
  readonly #prefix: string;
  readonly #statements = new Map<string, string>();
  readonly #running = new Set<Promise<unknown>>();
  #opened: Promise<PostgresPool> | null = null;
  #isClosed = false;
  /** Null until the server was asked. */
  settings: ServerSettings | null = null;

  readonly json: typeof toJson = toJson;
  readonly parse: typeof fromJson = fromJson;
  readonly text: typeof toText = toText;
  readonly texts: typeof toTextArray = toTextArray;
  readonly tell: (hints: Hint[]) => void;
  #answers = 0;
  readonly fresh: FreshPages = new FreshPages(() => this.#answers);

  constructor(options: DatabaseOptions) {
    this.#options = options;
    this.#prefix = schemaPrefix(options.schema);
    this.tell = options.tell;
  }

  get isPrepared(): boolean {
    return this.#options.prepare;
  }

  async transition<T>(name: string, values: unknown[]): Promise<T> {
    const [row] = await this.#call<{ answer: string }>(name, values, 'SELECT');
    const answer = fromJson(row?.answer ?? 'null') as T & { hints?: JsonRow[] };
    if (answer.hints !== undefined) this.tell(toHints(answer.hints));
    return answer;
  }

  rows<T>(name: string, values: unknown[]): Promise<T[]> {
    return this.#call<T>(name, values, 'SELECT * FROM');
  }

  query<T = Record<string, string | null>>(name: string, sql: string, values: unknown[]): Promise<T[]> {
    return this.#run<T>({ name, sql: () => inSchema(sql, this.#prefix), values });
  }

  /** Opens it if that has not been done, so that what is wrong is said. */
  async open(): Promise<PostgresPool> {
    if (this.#isClosed) throw closedError('Postgres');
    this.#opened ??= this.#open().catch((error: unknown) => {
      this.#opened = null;
      throw toStoreError(error, { doing: 'open', where: this.#options.where });
    });
    return this.#opened;
  }

  /** D4 */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#running);
  }

  #call<T>(name: string, values: unknown[], how: 'SELECT' | 'SELECT * FROM'): Promise<T[]> {
    const sql = (): string => {
      const places = values.map((_, index) => `$${index + 1}`).join(', ');
      return `${how} ${this.#prefix}${name}(${places})${how === 'SELECT' ? ' AS answer' : ''}`;
    };
    return this.#run<T>({ name, sql, values });
  }

  #run<T>(statement: { name: string; sql: () => string; values: unknown[] }): Promise<T[]> {
    if (this.#isClosed) return Promise.reject(closedError('Postgres'));
    const running = this.#send<T>(statement);
    this.#running.add(running);
    const forget = (): void => void this.#running.delete(running);
    running.then(forget, forget);
    return running;
  }

  async #send<T>({ name, sql, values }: { name: string; sql: () => string; values: unknown[] }): Promise<T[]> {
    const pool = await (this.#opened ?? this.open());
    const query = { ...this.#statement(name, sql), values, types: asText, query_timeout: QUERY_TIMEOUT_MS };
    for (let tries = 1; ; tries += 1) {
      try {
        const { rows } = await pool.query(query);
        this.#answers += 1;
        this.#options.clock.defer(() => void (this.#answers += 1));
        return rows as T[];
      } catch (error) {
        if (isConflict(error) && tries < MOST_TRIES) continue; // D3
        if (isMissing(error)) this.#opened = null; // D2
        throw toStoreError(error, { doing: 'use', where: this.#options.where });
      }
    }
  }

  #statement(name: string, sql: () => string): { text: string; name?: string } {
    if (name === '') return { text: sql() };
    const text = this.#statements.get(name) ?? sql();
    this.#statements.set(name, text);
    return this.#options.prepare ? { text, name: `${this.#prefix}${name}` } : { text };
  }

  /** D2 */
  async #open(): Promise<PostgresPool> {
    const { migrate, schema } = this.#options;
    const pool = await this.#options.pool();
    const settings = await readSettings(pool);
    if (settings.isolation !== 'read committed') throw wrongIsolation(settings.isolation);
    if ((await schemaVersion(pool, schema)) < MIGRATIONS.length) {
      if (!migrate) throw missingMigration(schema);
      await withSession(pool, (session) => migrateSchema(session, schema));
    }
    this.settings = settings;
    return pool;
  }
}

async function readSettings(connection: PostgresConnection): Promise<ServerSettings> {
  const { rows } = await connection.query({
    text:
      "SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous, " +
      "current_setting('default_transaction_isolation') AS isolation",
    values: [],
  });
  return {
    isDurable: rows[0]?.['fsync'] === 'on' && rows[0]['synchronous'] !== 'off',
    isolation: String(rows[0]?.['isolation']),
  };
}

/** The transitions read what others have committed after they waited for a lock. */
function wrongIsolation(isolation: string): DurableError {
  return new DurableError(
    'store_unavailable',
    `Cannot use the database: its \`default_transaction_isolation\` is "${isolation}", and the store needs "read committed". Set it for this user: ` +
      "ALTER ROLE name SET default_transaction_isolation = 'read committed'.",
    { details: { isolation } },
  );
}

function missingMigration(schema: string): DurableError {
  return new DurableError(
    'store_unavailable',
    `Cannot use the schema "${schema}": it is not as this release needs it, and the option \`migrate\` is off. Run \`everturn migrate\` first.`,
    { details: { schema, known: MIGRATIONS.length } },
  );
}
