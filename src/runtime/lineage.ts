/** Runs that start runs: who stands above one, and who below. */

import { decodeEvent } from './event.ts';
import type { EventDraft } from './event.ts';
import type { LargeValues } from './large-values.ts';
import { isReference } from './reference.ts';
import type { NewRun, Run, RunQuery, RunStatus, Store } from './store.ts';

/** `senders`: who has spoken to the parent before. */
export function childStarted(
  key: string,
  { id, workflow, senders }: Pick<NewRun, 'id' | 'workflow'> & { senders: string[] },
): Omit<EventDraft, 'at'> {
  return { type: 'child_started', key, meta: { run: id, workflow, ...(senders.length === 0 ? {} : { senders }) } };
}

export interface LineageRun extends Run {
  /** Who had spoken to it when it started the one below. */
  senders: string[];
}

/** A run and its ancestors, nearest first, with their inputs. `isSpokenTo`: the journals of others, which may be long, are not read. */
export async function readLineage(
  { store, values }: { store: Pick<Store, 'get' | 'load'>; values: Pick<LargeValues, 'expand'> },
  { run, isSpokenTo }: { run: Run; isSpokenTo: (run: Run) => boolean },
): Promise<LineageRun[]> {
  const rows = [run, ...(await readAncestors(store, run))];
  const whole = async (row: Run, index: number): Promise<LineageRun> => {
    const expanded = isReference(row.input) ? { ...row, input: await values.expand(row.input) } : row;
    const below = rows[index - 1]?.parent;
    return { ...expanded, senders: isSpokenTo(expanded) ? await sendersBefore(store, below) : [] };
  };
  return Promise.all(rows.map(whole));
}

/** As the start of the child has noted them. A run that has given its segment up, or is gone, does not know any more. */
async function sendersBefore(store: Pick<Store, 'load'>, at: Run['parent'] | undefined): Promise<string[]> {
  const loaded = at == null ? null : await store.load(at.run);
  const started = loaded?.events
    .map((event) => decodeEvent(event))
    .find(({ type, key }) => type === 'child_started' && key === at?.key);
  return (started?.meta?.['senders'] as string[] | undefined) ?? [];
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
