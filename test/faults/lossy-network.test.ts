import { expect, it } from 'vitest';
import { holdLossyChat } from '../client/lossy-chat.ts';

it.each([1, 2, 3])('ten minutes of chat over a lossy network arrive byte for byte (seed %i)', async (seed) => {
  const chat = await holdLossyChat({ seed, minutes: 10, speed: 20 });
  for (const { read, stored } of chat.runs) expect(read).toBe(stored);
  expect(chat.thread.read).toEqual(chat.thread.stored);
  expect(chat.order.read).toEqual(chat.order.stored);
  expect(chat.connections).toBeGreaterThan(200);
  expect(chat.chunks).toBeGreaterThan(2_000);
});
