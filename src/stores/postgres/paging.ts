/** Pages of rows: filters that are asked for, and the cursor of the next page. */

import type { Page } from '../../runtime/store.ts';
import type { Database } from './database.ts';
import { toMillis } from './payloads.ts';
import type { JsonRow } from './rows.ts';

export const ITEMS_PER_PAGE = { normal: 50, most: 500 };
export const ROWS_PER_PAGE = { normal: 500, most: 5000 };

/** Conditions; those without a value were not asked for. */
export class Filter {
  readonly #db: Pick<Database, 'text' | 'texts' | 'json'>;
  readonly #conditions: string[] = [];
  readonly #values: unknown[] = [];

  constructor(db: Pick<Database, 'text' | 'texts' | 'json'>) {
    this.#db = db;
  }

  add(condition: string, ...values: unknown[]): this {
    this.#values.push(...values);
    this.#conditions.push(condition.replace('?', `$${this.#values.length}`));
    return this;
  }

  text(column: string, value: string | undefined): this {
    return value === undefined ? this : this.add(`${column} = ?`, this.#db.text(value));
  }

  /** With `=` wherever it can be: the index on tenants has no rows without one. */
  tenant(column: string, value: string | null | undefined): this {
    return value === null ? this.add(`${column} IS NULL`) : this.text(column, value);
  }

  /** One value with `=`: the index has its rows in the order of the page. */
  oneOf(column: string, values: readonly string[] | undefined): this {
    if (values === undefined) return this;
    return values.length === 1
      ? this.text(column, values[0])
      : this.add(`${column} = ANY (?::text[])`, this.#db.texts(values));
  }

  number(comparison: string, value: number | undefined): this {
    if (value === undefined) return this;
    // A cursor that no page gave, compared as JavaScript does.
    if (Number.isNaN(value)) return this.add('false');
    return this.add(`${comparison} ?::bigint`, comparison.endsWith('>') ? -toMillis(-value) : toMillis(value));
  }

  json(comparison: string, value: unknown): this {
    return value === undefined ? this : this.add(`${comparison} ?::jsonb`, this.#db.json(value));
  }

  select(from: string): { sql: string; values: unknown[] } {
    const where = this.#conditions.length === 0 ? '' : ` WHERE ${this.#conditions.join(' AND ')}`;
    return { sql: `SELECT to_jsonb(f) AS row FROM ${from}${where}`, values: this.#values };
  }
}

/** Rows in the order of the page, one more than its size if there is another page. Its cursor is the last row's `key`. */
export function toPage<T>(rows: JsonRow[], page: { size: number; toItem: (row: JsonRow) => T }): Page<T> {
  const taken = rows.slice(0, page.size);
  const last = taken.at(-1);
  return {
    items: taken.map(page.toItem),
    cursor: last !== undefined && rows.length > page.size ? String(last['key']) : null,
  };
}
