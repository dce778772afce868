/** Pages of what is indexed by order of creation. A script looks at a bounded part of an index; what is left is asked for again. */

import type { Page } from '../../runtime/store.ts';
import { toRequest } from './script.ts';
import type { Reply, Request, Script } from './script.ts';

export const ITEMS_PER_PAGE = { normal: 50, most: 500 };

/** Members of an index that one script looks at: a few milliseconds of the server's time. */
const MOST_LOOKED_AT = 1_000;

/** Answers items with their order, and where to go on if there is more to look at. */
export const PAGES: string = `
local function pageOf(source, matches, toItem)
  local key, cursor, seen = P .. source, req.cursor, 0
  local items = {}
  while seen < ${MOST_LOOKED_AT} and #items < req.limit do
    local many = math.min(100, math.max(req.limit - #items, 10))
    local found
    if req.oldest then
      found = call('ZRANGEBYSCORE', key, cursor and '(' .. cursor or '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, many)
    else
      found = call('ZREVRANGEBYSCORE', key, cursor and '(' .. cursor or '+inf', '-inf', 'WITHSCORES', 'LIMIT', 0, many)
    end
    for i = 1, #found, 2 do
      if #items >= req.limit then break end
      cursor = found[i + 1]
      if matches(found[i]) then items[#items + 1] = {cursor, toItem(found[i])} end
    end
    seen = seen + #found / 2
    if #found < 2 * many and #items < req.limit then return {items, false} end
  end
  return {items, cursor or false}
end
`;

export type Ask = (script: Script, request: Request) => Promise<Reply>;

interface PageRequest<T> {
  script: Script;
  request: Record<string, unknown>;
  cursor: string | undefined;
  size: number;
  toItem: (reply: Reply) => T;
}

export async function readPage<T>(ask: Ask, page: PageRequest<T>): Promise<Page<T>> {
  const { script, size, toItem } = page;
  const found: Array<{ order: string; item: T }> = [];
  let cursor = page.cursor;
  do {
    // One more than asked for tells whether there is another page.
    const request = toRequest(() => ({ ...page.request, cursor, limit: size + 1 - found.length }));
    const [items, next] = (await ask(script, request)) as [Array<[Reply, Reply]>, Reply];
    for (const [order, item] of items) found.push({ order: orderOf(order), item: toItem(item) });
    cursor = next === null ? undefined : orderOf(next);
  } while (cursor !== undefined && found.length <= size);
  const taken = found.slice(0, size);
  return { items: taken.map(({ item }) => item), cursor: found.length > size ? (taken.at(-1)?.order ?? null) : null };
}

function orderOf(reply: Reply): string {
  return reply instanceof Uint8Array ? new TextDecoder().decode(reply) : String(reply);
}
