/**
 * A long chat that is read over a network which cuts, delays, falls silent and goes away, with time that runs faster: the model's pace,
 * the heartbeats, what a reader takes for dead and how long it waits are all shortened alike.
 */

import { DurableAgent } from 'everturn';
import { readStream } from 'everturn/client';
import type { StreamEvent } from 'everturn/client';
import type { UIMessageChunk } from 'ai';
import { MockLanguageModelV4 } from 'ai/test';
import { systemClock } from '../../src/runtime/clock.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { mergeDeltas } from '../../src/streams/fold.ts';
import { openSocket, say } from '../server/kit.ts';
import { Random } from '../simulation/random.ts';
import { openProxy } from './proxy.ts';
import type { Proxy } from './proxy.ts';
import { collect } from '../support/collect.ts';

export interface LossyChatOptions {
  seed: number;
  /** How long the chat takes, in its own time. */
  minutes: number;
  /** How much faster its time runs. */
  speed: number;
}

export interface LossyChat {
  /** By run: what was read of its stream, and what is stored. */
  runs: Array<{ read: string; stored: string }>;
  /** The same for the thread, deltas merged. */
  thread: { read: UIMessageChunk[]; stored: UIMessageChunk[] };
  /** Ids of the thread's runs, as they were told and as they are. */
  order: { read: string[]; stored: string[] };
  connections: number;
  chunks: number;
}

const WORDS_PER_ANSWER = 150;
const WORDS_PER_SECOND = 15;

export async function holdLossyChat({ seed, minutes, speed }: LossyChatOptions): Promise<LossyChat> {
  const random = new Random(seed);
  const clock = fastClock(speed);
  const model = talkingModel(random.fork(), (ms) => new Promise<void>((resolve) => void clock.schedule(resolve, ms)));
  const site = await openSocket({ agents: { support: new DurableAgent({ model }) } }, { clock });
  const proxy = await openProxy(new URL(site.api).origin);
  const api = `${proxy.url}/api`;
  const environment = { clock, random: () => random.next() };
  const leaving = new AbortController();
  const stopTroubles = trouble(proxy, { random: random.fork(), clock });
  const options = { environment, patienceMs: 3_600_000 };
  const thread = collectThread(
    readStream<UIMessageChunk>(`${api}/threads/t1/stream`, { ...options, from: 'start', signal: leaving.signal }),
  );
  const until = clock.monotonic() + minutes * 60_000;
  const ids: string[] = [];
  const readers: Array<Promise<string>> = [];
  try {
    for (let turn = 0; clock.monotonic() < until; turn += 1) {
      const answer = await say(site, { id: `m${turn}` }, { headers: { accept: 'application/json' } });
      const { runId } = (await answer.json()) as { runId: string };
      ids.push(runId);
      readers.push(readText(readStream(`${api}/runs/${runId}/streams/default`, options)));
      await site.runtime.getRun(runId).result();
    }
    const read = await Promise.all(readers);
    const stored = await Promise.all(ids.map((id) => collect<UIMessageChunk>(site.runtime.getRun(id).stream())));
    await thread.hasEnded(ids.length);
    return {
      runs: stored.map((chunks, index) => ({ read: read[index] ?? '', stored: toText(chunks) })),
      thread: { read: mergeDeltas(thread.chunks), stored: mergeDeltas(stored.flat()) },
      order: { read: thread.runs, stored: ids },
      connections: proxy.made(),
      chunks: stored.flat().length,
    };
  } finally {
    stopTroubles();
    leaving.abort();
    await proxy.close();
    await site.close();
  }
}

function fastClock(speed: number): Clock {
  const clock = systemClock();
  return {
    ...clock,
    monotonic: () => clock.monotonic() * speed,
    schedule: (run, delay) => clock.schedule(run, delay / speed),
  };
}

/** Seeded words at a seeded pace. */
function talkingModel(random: Random, wait: (ms: number) => Promise<unknown>): MockLanguageModelV4 {
  return new MockLanguageModelV4({
    doStream: async () => ({
      stream: new ReadableStream({
        async start(controller) {
          controller.enqueue({ type: 'stream-start', warnings: [] });
          controller.enqueue({ type: 'text-start', id: '1' });
          for (let word = 0; word < WORDS_PER_ANSWER; word += 1) {
            await wait(random.between(0, 2_000 / WORDS_PER_SECOND));
            controller.enqueue({
              type: 'text-delta',
              id: '1',
              delta: `${random.int(0, 9_999)} é\n`.repeat(random.int(1, 4)),
            });
          }
          controller.enqueue({ type: 'text-end', id: '1' });
          const total = { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 };
          const usage = { inputTokens: total, outputTokens: { total: 1, text: 1, reasoning: 0 } };
          controller.enqueue({ type: 'finish', usage, finishReason: { unified: 'stop', raw: 'stop' } });
          controller.close();
        },
      }),
    }),
  });
}

/** Each connection ends after some bytes; now and then the server falls silent, or is not there. */
function trouble(proxy: Proxy, { random, clock }: { random: Random; clock: Clock }): () => void {
  const { target } = proxy;
  proxy.cutAfter = () => random.int(300, 8_000);
  proxy.delay = () => (random.chance(0.3) ? random.between(0, 10) : 0);
  let cancel = (): void => undefined;
  const next = (): void => {
    cancel = clock.schedule(
      () => {
        if (random.chance(0.4)) proxy.freeze(true);
        else if (random.chance(0.5)) proxy.cut();
        else {
          proxy.target = undefined;
          proxy.cut();
          clock.schedule(() => (proxy.target = target), random.between(500, 8_000));
        }
        next();
      },
      random.between(2_000, 20_000),
    );
  };
  next();
  return () => cancel();
}

function toText(chunks: readonly unknown[]): string {
  return chunks.map((chunk, index) => `${String(index + 1).padStart(16, '0')} ${JSON.stringify(chunk)}\n`).join('');
}

async function readText(events: AsyncIterable<StreamEvent>): Promise<string> {
  let text = '';
  for await (const { id, data } of events) text += `${id} ${JSON.stringify(data)}\n`;
  return text;
}

interface Collected {
  chunks: UIMessageChunk[];
  runs: string[];
  /** Resolves when so many runs have ended. */
  hasEnded(runs: number): Promise<void>;
}

function collectThread(events: AsyncIterable<StreamEvent<UIMessageChunk>>): Collected {
  let ended = 0;
  let look = (): void => undefined;
  const collected: Collected = {
    chunks: [],
    runs: [],
    hasEnded: (runs) =>
      new Promise((resolve, reject) => {
        look = () => ended >= runs && resolve();
        reading.catch(reject);
        look();
      }),
  };
  const reading = (async () => {
    for await (const { event, data } of events) {
      if (event === 'run') collected.runs.push((data as unknown as { runId: string }).runId);
      if (event !== undefined) continue;
      collected.chunks.push(data);
      if (data.type !== 'finish') continue;
      ended += 1;
      look();
    }
  })();
  // Its end is the abort; what went wrong before is told to who waits.
  reading.catch(() => undefined);
  return collected;
}
