/** A hundred agent runs in one process, each of a model that says sixty words a second: from the model to a reader of the process. */

import { setTimeout as delay } from 'node:timers/promises';
import { MockLanguageModelV4 } from 'ai/test';
import { DurableAgent } from 'everturn';
import type { Runtime } from 'everturn';
import { openStore } from '../../test/support/open-store.ts';
import { quantile } from '../measure.ts';
import { toPlainFigure } from '../report.ts';
import type { BenchContext, Figure, ServerName } from '../report.ts';
import { withRuntime } from '../runtime.ts';

const RUNS = 100;
const RATE = 60;
const AT_MOST_MS = 50;
const WARM_UP = 0.25;

type Stream = Awaited<ReturnType<MockLanguageModelV4['doStream']>>['stream'];
type StreamPart = Stream extends ReadableStream<infer PART> ? PART : never;

const USAGE = {
  inputTokens: { total: 10, noCache: 10, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 10, text: 10, reasoning: 0 },
};

export async function measureAgents(
  context: BenchContext,
  { name, url }: { name: ServerName; url: string },
): Promise<Figure> {
  const words = RATE * (context.quick ? 3 : 10);
  const agent = new DurableAgent({ model: sayingModel(words) });
  const options = {
    store: openStore(url),
    agents: { speaker: agent },
    worker: { concurrency: RUNS },
  };
  const latencies = await withRuntime(options, async (runtime) => {
    const each = await Promise.all(Array.from({ length: RUNS }, () => listen(runtime, agent)));
    return each.flatMap((heard) => {
      if (heard.length !== words) throw new Error(`${heard.length} of ${words} words came.`);
      return heard.slice(Math.ceil(words * WARM_UP));
    });
  });
  return toPlainFigure(`word to reader in ${RUNS} agent runs of ${RATE} words/s, p95`, [quantile(latencies, 0.95)], {
    store: name,
    unit: 'ms',
    atMost: AT_MOST_MS,
  });
}

/** How long each word was on its way. */
async function listen(runtime: Runtime, agent: DurableAgent): Promise<number[]> {
  const run = await runtime.start(agent, { prompt: 'Speak.' });
  const latencies: number[] = [];
  for await (const chunk of run.stream()) {
    if (chunk.type !== 'text-delta') continue;
    const now = performance.now();
    for (const word of chunk.delta.trim().split(' ')) latencies.push(now - Number(word));
  }
  await run.result();
  return latencies;
}

/** Each word is the moment at which it was said. */
function sayingModel(words: number): MockLanguageModelV4 {
  return new MockLanguageModelV4({
    provider: 'mock',
    modelId: 'mock',
    doStream: async () => ({ stream: toStream(say(words)) }),
  });
}

function toStream(parts: AsyncGenerator<StreamPart>): ReadableStream<StreamPart> {
  return new ReadableStream<StreamPart>({
    async pull(controller) {
      const { done, value } = await parts.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
  });
}

async function* say(words: number): AsyncGenerator<StreamPart> {
  yield { type: 'stream-start', warnings: [] };
  yield { type: 'text-start', id: 't' };
  for (let i = 0; i < words; i += 1) {
    await delay(1_000 / RATE);
    yield { type: 'text-delta', id: 't', delta: `${performance.now()} ` };
  }
  yield { type: 'text-end', id: 't' };
  yield { type: 'finish', finishReason: { unified: 'stop', raw: undefined }, usage: USAGE };
}
