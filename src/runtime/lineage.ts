/** Runs that start runs: who stands above one, and who below. */

import type { LargeValues } from './large-values.ts';
import { isReference } from './reference.ts';
import type { Run, RunQuery, RunStatus, Store } from './store.ts';

/** A run and its ancestors, nearest first, with their inputs. */
export async function readLineage(
  { store, values }: { store: Pick<Store, 'get'>; values: Pick<LargeValues, 'expand'> },
  run: Run,
): Promise<Run[]> {
  const rows = [run, ...(await readAncestors(store, run))];
  const whole = async (row: Run): Promise<Run> =>
    isReference(row.input) ? { ...row, input: await values.expand(row.input) } : row;
  return Promise.all(rows.map(whole));
}

/** Nearest first, as far as they are there: whoever has ended may have been removed. */
async function readAncestors(store: Pick<Store, 'get'>, run: Pick<Run, 'parent'>): Promise<Run[]> {
  const ancestors: Run[] = [];
  for (let { parent } = run; parent !== null;) {
    const above = await store.get(parent.run);
    if (above === null) break;
    ancestors.push(above);
    parent = above.parent;
  }
  return ancestors;
}

const PAGE = 500;
const LIVE: RunStatus[] = ['queued', 'ready', 'running', 'waiting', 'parked'];

/** Children, their children and so on; `live`: without those that have ended, and what is below them. */
export async function readDescendants(
  store: Pick<Store, 'list'>,
  run: string,
  { live }: { live: boolean },
): Promise<Run[]> {
  const children = await readChildren(store, { parent: run, ...(live ? { status: LIVE } : {}) });
  const below = await Promise.all(children.map(({ id }) => readDescendants(store, id, { live })));
  return [...children, ...below.flat()];
}

async function readChildren(store: Pick<Store, 'list'>, query: RunQuery): Promise<Run[]> {
  const children: Run[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await store.list({ ...query, limit: PAGE, ...(cursor === undefined ? {} : { cursor }) });
    children.push(...page.items);
    if (page.cursor === null) return children;
    cursor = page.cursor;
  }
}
