/** What a run has stored of one of its own UI streams. */

import type { UIMessageChunk } from 'ai';
import { decodeChunk } from '../runtime/chunk.ts';
import type { RunContext } from '../runtime/context.ts';

export interface StoredChunks {
  /** From an offset to the end. */
  stored: UIMessageChunk[];
  /** The one ahead of them. */
  before?: UIMessageChunk;
}

/** Reads what everybody has written so far; what this pass has emitted is committed first. */
export async function readStoredChunks(
  context: RunContext,
  { stream, from }: { stream: string; from: number },
): Promise<StoredChunks> {
  const [before, ...stored] = await readFrom(context, { stream, from: Math.max(0, from - 1) });
  if (before === undefined) return { stored };
  return from === 0 ? { stored: [before, ...stored] } : { stored, before };
}

async function readFrom(context: RunContext, start: { stream: string; from: number }): Promise<UIMessageChunk[]> {
  await context.flush();
  const chunks: UIMessageChunk[] = [];
  for (let { from } = start; ;) {
    const page = await context.readStream(start.stream, from);
    for (const payload of page.chunks) chunks.push(decodeChunk(payload) as UIMessageChunk);
    from = page.from + page.chunks.length;
    if (page.chunks.length === 0 || from >= page.tail) return chunks;
  }
}
