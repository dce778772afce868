/** Pages of rows: filters that are asked for, and the cursor of the next page. */

import type { Page } from '../../runtime/store.ts';
import type { Row } from './rows.ts';

export const ITEMS_PER_PAGE = { normal: 50, most: 500 };

/** A condition and its value; without a value it was not asked for. */
export type Condition = [sql: string, value: string | number | null | undefined];

/** With `=` wherever it can be: the index on tenants has no rows without one. */
export function isTenant(column: string, tenant: string | null | undefined): Condition {
  return [tenant === null ? `${column} IS ?` : `${column} = ?`, tenant];
}

export function where(conditions: Condition[]): { sql: string; values: Array<string | number | null> } {
  const asked = conditions.filter(
    (condition): condition is [string, string | number | null] => condition[1] !== undefined,
  );
  return {
    sql: asked.length === 0 ? '' : `WHERE ${asked.map(([sql]) => sql).join(' AND ')}`,
    values: asked.map(([, value]) => value),
  };
}

/** Rows in the order of the page, one more than its size if there is another page. Its cursor is the last row's `key`. */
export function toPage<T>(rows: Row[], page: { size: number; toItem: (row: Row) => T }): Page<T> {
  const taken = rows.slice(0, page.size);
  const last = taken.at(-1);
  return {
    items: taken.map(page.toItem),
    cursor: last !== undefined && rows.length > page.size ? String(last['key']) : null,
  };
}
