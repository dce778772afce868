import { expect, it } from 'vitest';
import { holdLossyChat } from './lossy-chat.ts';

it('a chat that is read over a network which cuts, delays and goes away arrives byte for byte', async () => {
  const chat = await holdLossyChat({ seed: 1, minutes: 2, speed: 40 });
  for (const { read, stored } of chat.runs) expect(read).toBe(stored);
  expect(chat.thread.read).toEqual(chat.thread.stored);
  expect(chat.order.read).toEqual(chat.order.stored);
  expect(chat.connections).toBeGreaterThan(20);
  expect(chat.chunks).toBeGreaterThan(300);
});
