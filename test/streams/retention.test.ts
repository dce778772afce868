import { describe, expect, it } from 'vitest';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { createStreamReader } from '../../src/streams/reader.ts';
import type { StreamReader } from '../../src/streams/reader.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { startStreamRun } from './stream-run.ts';

async function trimmedStream(): Promise<StreamReader> {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const run = await startStreamRun(store, 'r');
  await run.write('log', ['a', 'b', 'c', 'd', 'e']);
  await run.end();
  await store.trim({ keep: 2, spare: [], limit: 10 });
  return createStreamReader({ store, clock });
}

async function readFrom(reader: StreamReader, from: number): Promise<unknown[]> {
  const chunks: unknown[] = [];
  for await (const { chunk } of reader.chunks({ run: 'r', stream: 'log', from })) chunks.push(chunk);
  return chunks;
}

describe('a reader of a stream that retention has shortened', () => {
  it('is told below what is kept where it may read, and why', async () => {
    const reader = await trimmedStream();
    const expired = {
      code: 'offset_expired',
      details: { run: 'r', stream: 'log', from: 1, before: 3, reason: 'count' },
    };
    await expect(readFrom(reader, 1)).rejects.toMatchObject(expired);
    await expect(reader.page({ run: 'r', stream: 'log', from: 1 })).rejects.toMatchObject(expired);
  });

  it('reads what is kept, from its offset or from the end', async () => {
    const reader = await trimmedStream();
    expect(await readFrom(reader, 3)).toEqual(['d', 'e']);
    expect(await readFrom(reader, -1)).toEqual(['e']);
    await expect(readFrom(reader, -4)).rejects.toMatchObject({ code: 'offset_expired' });
  });
});
