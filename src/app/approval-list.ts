/**
 * The approvals of a run, or of a thread's runs, with those of the child runs below them: rows of several runs as one list, newest first.
 *
 *  L1 A page's cursor says of each run how far it was read, so no row is left out, whatever comes meanwhile.
 */

import { DurableError } from '../runtime/errors.ts';
import { readDescendants } from '../runtime/lineage.ts';
import type { Hook, HookQuery, Page, Run, RunQuery, RunStatus, Store } from '../runtime/store.ts';

const PAGE = { normal: 50, most: 500 };
const ACTIVE: RunStatus[] = ['ready', 'running', 'waiting', 'parked'];

/** Rows of one run, or the query as it was asked. */
interface Source {
  name: string;
  query: HookQuery;
}

/** How far each source was read, by its name: after a cursor, or to its end. */
type Positions = Record<string, string | null>;

/** `live`: only of runs that have not ended. */
export async function listApprovalRows(
  store: Store,
  query: HookQuery,
  { live }: { live: boolean },
): Promise<Page<Hook>> {
  const { cursor, limit = PAGE.normal, ...asked } = query;
  const below = await runsBelow(store, asked, live);
  if (below.length === 0 && !isJoined(cursor)) return store.listHooks(query);
  const { run: _, thread: __, ...each } = asked;
  const sources = [{ name: '', query: asked }, ...below.map(({ id }) => ({ name: id, query: { ...each, run: id } }))];
  const size = Math.min(Math.max(1, limit), PAGE.most);
  return joinedPage(store, sources, { size, from: decodePositions(cursor) });
}

async function runsBelow(store: Store, { run, thread, tenant }: HookQuery, live: boolean): Promise<Run[]> {
  if (run !== undefined) return readDescendants(store, run, { live });
  if (thread === undefined) return [];
  const tops = await readAll(store, {
    thread,
    ...(tenant === undefined ? {} : { tenant }),
    ...(live ? { status: ACTIVE } : {}),
  });
  return (await Promise.all(tops.map(({ id }) => readDescendants(store, id, { live })))).flat();
}

async function readAll(store: Store, query: RunQuery): Promise<Run[]> {
  const runs: Run[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await store.list({ ...query, limit: PAGE.most, ...(cursor === undefined ? {} : { cursor }) });
    runs.push(...page.items);
    if (page.cursor === null) return runs;
    cursor = page.cursor;
  }
}

async function joinedPage(
  store: Store,
  sources: Source[],
  { size, from }: { size: number; from: Positions },
): Promise<Page<Hook>> {
  const open = sources.filter(({ name }) => from[name] !== null);
  const read = ({ name, query }: Source, limit: number): Promise<Page<Hook>> =>
    store.listHooks({ ...query, limit, ...(from[name] == null ? {} : { cursor: from[name] }) });
  const pages = await Promise.all(open.map(async (source) => ({ source, page: await read(source, size) })));
  const items = pages
    .flatMap(({ source, page }) => page.items.map((hook) => ({ source, hook })))
    .toSorted((a, b) => b.hook.createdAt - a.hook.createdAt)
    .slice(0, size);
  const positions: Positions = { ...from };
  for (const { source, page } of pages) {
    const taken = items.filter((item) => item.source === source).length;
    // L1
    if (taken === page.items.length) positions[source.name] = page.cursor;
    else if (taken > 0) positions[source.name] = (await read(source, taken)).cursor;
  }
  const isOver = open.every(({ name }) => positions[name] === null);
  return { items: items.map(({ hook }) => hook), cursor: isOver ? null : encodePositions(positions) };
}

const MARK = '~';

function isJoined(cursor: string | undefined): boolean {
  return cursor?.startsWith(MARK) === true;
}

function encodePositions(positions: Positions): string {
  const bytes = new TextEncoder().encode(JSON.stringify(positions));
  const base64 = btoa(String.fromCharCode(...bytes));
  return MARK + base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** One of before there were runs below is that of the query itself. Throws `invalid_argument`. */
function decodePositions(cursor: string | undefined): Positions {
  if (cursor === undefined) return {};
  if (!isJoined(cursor)) return { '': cursor };
  try {
    const base64 = cursor.slice(MARK.length).replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(base64), (each) => each.codePointAt(0) ?? 0);
    const positions: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (isPositions(positions)) return positions;
  } catch (error) {
    if (!(error instanceof SyntaxError) && !(error instanceof DOMException)) throw error;
  }
  throw new DurableError('invalid_argument', 'Cannot go on with this list of approvals: its cursor is none.');
}

function isPositions(value: unknown): value is Positions {
  if (typeof value !== 'object' || value === null) return false;
  return Object.values(value).every((each) => each === null || (typeof each === 'string' && /^\d{1,16}$/.test(each)));
}
