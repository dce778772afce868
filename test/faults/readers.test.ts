import { once } from 'node:events';
import { get } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { storeFolder } from '../stores/sqlite-file.ts';
import { startChild } from '../support/child.ts';
import type { Memory } from './readers-process.ts';

const STREAMS = 1_000;
const READERS = 5_000;
const ROUNDS = 15;
const MB = 1_048_576;

interface Told {
  url?: string;
  memory: Memory;
}

it(`${STREAMS} open streams with ${READERS} readers take a bounded memory, which does not grow`, async () => {
  const { path, remove } = storeFolder();
  const child = startChild<Told>(new URL('readers-process.ts', import.meta.url), { path, streams: STREAMS });
  const ask = async (command: string): Promise<Memory> => {
    const answered = once(child.process, 'message');
    child.send(command);
    const [{ memory }] = (await answered) as [Told];
    return memory;
  };
  try {
    const { url, memory: empty } = await child.message(() => true);
    const opened = await ask('open');
    const readers = await openReaders(`${url}/api`);
    const idle = await ask('memory');
    for (let round = 0; round < ROUNDS; round += 1) await ask('write');
    await readers.received(ROUNDS);
    const early = await ask('memory');
    for (let round = 0; round < ROUNDS; round += 1) await ask('write');
    await readers.received(2 * ROUNDS);
    await delay(20_000); // heartbeats
    const late = await ask('memory');
    readers.close();
    let left = await ask('memory');
    // Thousands of closed sockets take the server a while.
    for (let tries = 0; tries < 30 && left.heap - opened.heap > 20 * MB; tries += 1) {
      await delay(2_000);
      left = await ask('memory');
    }
    const figures = {
      perStream: (opened.heap - empty.heap) / STREAMS,
      perReader: (idle.heap - opened.heap) / READERS,
      grown: late.heap - early.heap,
    };
    expect(figures.perStream).toBeLessThan(40_000);
    expect(figures.perReader).toBeLessThan(40_000);
    expect(figures.grown).toBeLessThan(10 * MB);
    expect(left.heap - opened.heap).toBeLessThan(20 * MB);
  } finally {
    child.kill();
    await child.ended;
    remove();
  }
}, 600_000);

interface Readers {
  /** Resolves when each has had its first chunk and so many more. */
  received(rounds: number): Promise<void>;
  close(): void;
}

async function openReaders(api: string): Promise<Readers> {
  const requests: ClientRequest[] = [];
  let chunks = 0;
  const open = (index: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const options = { agent: false, headers: { accept: 'text/event-stream' } };
      const request = get(
        `${api}/runs/run_${index % STREAMS}/streams/default`,
        options,
        (response: IncomingMessage) => {
          response.on('data', (bytes: Buffer) => {
            chunks += bytes.toString('latin1').split('\ndata: ').length - 1;
            resolve();
          });
          response.on('error', () => undefined);
        },
      );
      request.on('error', reject);
      requests.push(request);
    });
  for (let index = 0; index < READERS; index += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, more) => open(index + more)));
  }
  return {
    async received(rounds) {
      const expected = READERS * (rounds + 1);
      await expect.poll(() => chunks, { timeout: 60_000, interval: 50 }).toBeGreaterThanOrEqual(expected);
    },
    close: () => requests.forEach((request) => request.destroy()),
  };
}
