import { expect, it } from 'vitest';
import { holdLossyChat } from './lossy-chat.ts';

it(
  'ten minutes of chat over a network which cuts, delays and goes away arrive byte for byte',
  { timeout: 120_000 },
  async () => {
    const chat = await holdLossyChat({ seed: 1, minutes: 10, speed: 40 });
    for (const { read, stored } of chat.runs) expect(read).toBe(stored);
    expect(chat.thread.read).toEqual(chat.thread.stored);
    expect(chat.order.read).toEqual(chat.order.stored);
    expect(chat.connections).toBeGreaterThan(100);
    expect(chat.chunks).toBeGreaterThan(1_000);
  },
);
