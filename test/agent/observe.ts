/** What a caller can see of an agent's result, without what differs from one call to the next. */

import type { StreamTextResult, ToolSet } from 'ai';

export type Observed = Record<string, unknown>;

type AnyStream = StreamTextResult<ToolSet, Record<string, unknown>, never>;

const FIELDS = [
  'text',
  'content',
  'reasoning',
  'files',
  'sources',
  'toolCalls',
  'toolResults',
  'finishReason',
  'usage',
  'totalUsage',
  'warnings',
  'steps',
  'responseMessages',
  'output',
] as const;

/** Everything of a result; errors become values. */
export async function observe(call: () => PromiseLike<unknown>): Promise<Observed> {
  let result: unknown;
  try {
    result = await call();
  } catch (error) {
    return normalize({ rejected: error });
  }
  const seen: Observed = {};
  if (typeof result === 'object' && result !== null && 'fullStream' in result) {
    seen['parts'] = await readAll((result as AnyStream).fullStream as ReadableStream<unknown>);
  }
  for (const field of FIELDS) {
    try {
      seen[field] = await Promise.resolve((result as Record<string, unknown>)[field]);
    } catch (error) {
      seen[field] = { rejected: error };
    }
  }
  return normalize(seen);
}

async function readAll(stream: ReadableStream<unknown>): Promise<unknown[]> {
  const parts: unknown[] = [];
  try {
    for await (const part of stream) parts.push(part);
  } catch (error) {
    parts.push({ type: 'broken', error });
  }
  return mergeDeltas(parts as Array<{ type: string }>);
}

/** Replay gives each block's text at once; only the boundaries of deltas may differ. Preliminary results are not played again. */
function mergeDeltas(
  parts: Array<{ type: string; id?: string; text?: string; delta?: string; preliminary?: boolean }>,
): unknown[] {
  const merged: typeof parts = [];
  for (const part of parts) {
    if (part.preliminary === true) continue;
    const last = merged.at(-1);
    if (part.type.endsWith('-delta') && last?.type === part.type && last.id === part.id) {
      merged[merged.length - 1] = {
        ...last,
        ...part,
        text: (last.text ?? '') + (part.text ?? ''),
        delta: (last.delta ?? '') + (part.delta ?? ''),
      };
    } else
      merged.push(part.type.endsWith('-delta') ? { ...part, text: part.text ?? '', delta: part.delta ?? '' } : part);
  }
  return merged;
}

const DROPPED = new Set([
  'performance',
  'timestamp',
  'headers',
  'body',
  'request',
  'callId',
  'stack',
  'signature',
  'responseHeaders',
  'uint8ArrayData',
  'toolExecutionMs',
]);
const GENERATED = /^(apr_|aid_|res_|aitxt-|call-|steer-)|^\d+:t\d+$/;
/** Of the scripted models: one per call of the provider, whichever answer it is. */
const RESPONSE = /^response-\d+$/;

/** Plain data: generated ids by order of appearance, errors by name and message. */
export function normalize(value: Observed): Observed {
  const ids = new Map<string, string>();
  const visit = (item: unknown): unknown => {
    if (typeof item === 'string' && RESPONSE.test(item)) return 'response';
    if (typeof item === 'string') return GENERATED.test(item) ? named(ids, item) : item;
    if (item instanceof Error) return { error: item.name, message: item.message };
    if (item instanceof Date || item instanceof URL) return String(item);
    if (item instanceof Uint8Array) return [...item];
    if (Array.isArray(item)) return item.map(visit);
    if (typeof item !== 'object' || item === null) return item;
    const getters = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(item) as object);
    const keys = [
      ...Object.keys(item),
      ...Object.keys(getters).filter((key) => getters[key]?.get !== undefined && key !== '__proto__'),
    ];
    return Object.fromEntries(
      keys
        .filter((key) => !DROPPED.has(key) && !key.startsWith('_'))
        .map((key): [string, unknown] => [key, visit((item as Record<string, unknown>)[key])])
        .filter(([, inner]) => inner !== undefined),
    );
  };
  return visit(value) as Observed;
}

function named(ids: Map<string, string>, id: string): string {
  const known = ids.get(id);
  if (known !== undefined) return known;
  const name = `id-${ids.size}`;
  ids.set(id, name);
  return name;
}
