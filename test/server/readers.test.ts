import { DurableAgent, getWritable, step, workflow } from 'everturn';
import type { Store } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { expect, it } from 'vitest';
import { createEncoders } from '../../src/server/encoders.ts';
import { encodeChunk } from '../../src/runtime/chunk.ts';
import { scriptedModel } from '../agent/run-kit.ts';
import { allFrames, openDirectly, toChunks } from './kit.ts';
import type { Site } from './kit.ts';

const CHUNKS = 5_000;

const flood = workflow('flood', () =>
  step('write', async () => {
    const writer = getWritable().getWriter();
    await writer.write({ type: 'start' });
    await writer.write({ type: 'text-start', id: '1' });
    for (let index = 0; index < CHUNKS; index += 1) {
      await writer.write({ type: 'text-delta', id: '1', delta: `${index} `.padEnd(40, '.') });
    }
    await writer.write({ type: 'text-end', id: '1' });
    await writer.write({ type: 'finish' });
    await writer.close();
  }),
);

async function openFlood(): Promise<{ site: Site; reads: () => number; watchers: () => number }> {
  const inner = memoryStore();
  let reads = 0;
  let watchers = 0;
  const read: Store['read'] = (...args) => {
    reads += 1;
    return inner.read(...args);
  };
  const watch: NonNullable<Store['watch']> = (listener) => {
    watchers += 1;
    const stop = inner.watch?.(listener);
    return () => {
      watchers -= 1;
      stop?.();
    };
  };
  const support = new DurableAgent({ model: scriptedModel([]).model });
  const site = await openDirectly({ store: { ...inner, read, watch }, agents: { support }, workflows: [flood] });
  await (await site.runtime.start(flood, { id: 'run_flood' })).result();
  return { site, reads: () => reads, watchers: () => watchers };
}

it('a reader that takes nothing is read nothing for', async () => {
  const { site, reads } = await openFlood();
  const response = await site.fetch(`${site.api}/chat/run_flood~0/stream?startIndex=0`);
  const reader = (response.body ?? new ReadableStream()).getReader();
  await reader.read();
  await reader.read();
  const after = reads();
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(reads()).toBe(after);
  await reader.cancel();
  await site.close();
});

it('readers of one place get the same bytes, encoded once', () => {
  const encoders = createEncoders();
  const chunks = ['a', 'b', 'c'].map((delta) => encodeChunk({ type: 'text-delta', id: '1', delta }));
  const page = { chunks, from: 7, tail: 10, closed: false };
  expect(encoders.frames(page)).toBe(encoders.frames(page));
  expect(encoders.mergedFrames(page)).toBe(encoders.mergedFrames(page));
  expect(encoders.runFrames(page, 'run_1')).toBe(encoders.runFrames(page, 'run_1'));
  expect(new TextDecoder().decode(encoders.mergedFrames(page))).toBe(
    'id: 0000000000000010\ndata: {"type":"text-delta","id":"1","delta":"abc"}\n\n',
  );
  expect(new TextDecoder().decode(encoders.frames(page)).match(/id: \d+/g)).toEqual([
    'id: 0000000000000008',
    'id: 0000000000000009',
    'id: 0000000000000010',
  ]);
});

it('whoever counts gets each chunk as it was written, from any id', async () => {
  const { site } = await openFlood();
  const counted = await allFrames(await site.fetch(`${site.api}/chat/run_flood~0/stream?startIndex=0`));
  expect(toChunks(counted)).toHaveLength(CHUNKS + 4);
  for (const index of [1, 2_345, CHUNKS]) {
    const headers = { 'last-event-id': counted[index]?.id ?? '' };
    const rest = await allFrames(await site.fetch(`${site.api}/chat/run_flood/stream`, { headers }));
    expect(rest).toEqual(counted.slice(index + 1));
  }
  await site.close();
});

it('HEAD holds nothing open', async () => {
  const { site, watchers } = await openFlood();
  const before = watchers();
  for (const path of ['/threads/t1/stream', '/chat/run_flood~0/stream?startIndex=0']) {
    const response = await site.fetch(`${site.api}${path}`, { method: 'HEAD' });
    expect([response.status, response.body]).toEqual([200, null]);
  }
  expect(watchers()).toBe(before);
  const { body } = await site.fetch(`${site.api}/threads/t1/stream`);
  const reader = (body ?? new ReadableStream()).getReader();
  await reader.read();
  await reader.read();
  expect(watchers()).toBeGreaterThan(before);
  await reader.cancel();
  expect(watchers()).toBe(before);
  await site.close();
});
