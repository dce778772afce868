import type { UIMessageChunk } from 'ai';
import { describe, expect, it } from 'vitest';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { foldMessage } from '../../src/streams/fold.ts';
import { createStreamReader } from '../../src/streams/reader.ts';
import type { ChunkReadOptions, StreamItem, StreamReader } from '../../src/streams/reader.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { startStreamRun } from './stream-run.ts';

const ANSWER: UIMessageChunk[] = [
  { type: 'start', messageId: 'm' },
  { type: 'start-step' },
  { type: 'reasoning-start', id: 'r' },
  ...['a', 'b', 'c'].map((delta): UIMessageChunk => ({ type: 'reasoning-delta', id: 'r', delta })),
  { type: 'reasoning-end', id: 'r' },
  { type: 'text-start', id: '1' },
  { type: 'text-start', id: '2' },
  ...['x', 'y'].map((delta): UIMessageChunk => ({ type: 'text-delta', id: '1', delta })),
  ...['z', '!'].map((delta): UIMessageChunk => ({ type: 'text-delta', id: '2', delta })),
  { type: 'text-end', id: '1' },
  { type: 'text-end', id: '2' },
  { type: 'tool-input-start', toolCallId: 't', toolName: 'look' },
  ...['{"q"', ':1}'].map((inputTextDelta): UIMessageChunk => ({
    type: 'tool-input-delta',
    toolCallId: 't',
    inputTextDelta,
  })),
  { type: 'tool-input-available', toolCallId: 't', toolName: 'look', input: { q: 1 } },
  { type: 'finish-step' },
  { type: 'finish' },
];

async function streamOf(chunks: unknown[]): Promise<StreamReader> {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const run = await startStreamRun(store, 'r');
  await run.write('default', chunks);
  await run.end();
  return createStreamReader({ store, clock });
}

async function read(reader: StreamReader, options: Partial<ChunkReadOptions>): Promise<StreamItem[]> {
  const items: StreamItem[] = [];
  for await (const item of reader.chunks({ run: 'r', stream: 'default', ...options })) items.push(item);
  return items;
}

describe('a merged replay', () => {
  it('is the same message in fewer chunks, each at the offset of its last delta', async () => {
    const reader = await streamOf(ANSWER);
    const merged = await read(reader, { merge: true });
    expect(merged.map(({ offset }) => offset)).toEqual([0, 1, 2, 5, 6, 7, 8, 10, 12, 13, 14, 15, 17, 18, 19, 20]);
    const plain = await read(reader, {});
    const fold = (items: StreamItem[]) => foldMessage(items.map(({ chunk }) => chunk as UIMessageChunk));
    expect(await fold(merged)).toEqual(await fold(plain));
    for (const { offset } of merged) {
      const rest = (await read(reader, { from: offset + 1 })).map(({ chunk }) => chunk as UIMessageChunk);
      const before = merged.filter((item) => item.offset <= offset).map(({ chunk }) => chunk as UIMessageChunk);
      expect(await foldMessage([...before, ...rest])).toEqual(await fold(plain));
    }
  });

  it('leaves what are no deltas of one part as they are', async () => {
    const odd = [
      null,
      'text',
      1,
      [1],
      { type: 'text-delta', id: 'a', delta: 'x' },
      { type: 'text-delta', id: 'b', delta: 'y' },
      { type: 'text-delta', id: 'n', delta: 1 },
      { type: 'text-delta', id: 'n', delta: 2 },
      { type: 'reasoning-delta', id: 'o', delta: 'x', at: 1 },
      { type: 'reasoning-delta', id: 'o', delta: 'y', at: 2 },
      { type: 'tool-input-delta', toolCallId: 't', inputTextDelta: 'x', own: true },
      { type: 'tool-input-delta', toolCallId: 't', inputTextDelta: 'y', own: true },
      { type: 'tool-input-delta', toolCallId: 'u', inputTextDelta: [1] },
      { type: 'tool-input-delta', toolCallId: 'u', inputTextDelta: [2] },
    ];
    const reader = await streamOf(odd);
    expect((await read(reader, { merge: true })).map(({ chunk }) => chunk)).toEqual(odd);
  });

  it('keeps what providers say of a part, as clients do: the last word', async () => {
    const delta = { type: 'text-delta', id: 'a', delta: 'x', providerMetadata: { p: { n: 1 } } };
    const reader = await streamOf([delta, { ...delta, delta: 'y', providerMetadata: { p: { n: 2 } } }]);
    expect((await read(reader, { merge: true })).map(({ chunk }) => chunk)).toEqual([
      { ...delta, delta: 'xy', providerMetadata: { p: { n: 2 } } },
    ]);
  });

  it('is refused to who counts offsets', async () => {
    const reader = await streamOf(ANSWER);
    for (const from of [3, -2])
      expect(() => reader.chunks({ run: 'r', stream: 'default', merge: true, from })).toThrow(
        expect.objectContaining({ code: 'invalid_argument' }),
      );
  });
});
