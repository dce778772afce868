/** The end of a message and the end of its run are one commit, however the run ends. */

import type { UIMessageChunk } from 'ai';
import { tool } from 'ai';
import { DurableAgent } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { memoryStore } from 'everturn/memory';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Commit, Store } from '../../src/runtime/store.ts';
import { decodeChunk } from '../../src/runtime/chunk.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';

const runtimes: TestRuntime[] = [];
afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close()));
});

interface Written {
  /** Types of the chunks of one commit. */
  types: string[];
  then: string;
}

function setUp(refuse?: Error) {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const written = recordWrites(store);
  let told = (): void => {};
  /** The second turn has begun, and what it said is stored. */
  const halfWay = new Promise<void>((resolve) => (told = resolve)).then(() => clock.advance('1 s'));
  const look = tool({ inputSchema: z.object({}), execute: () => 'seen' });
  const agent = new DurableAgent({
    model: scriptedModel([
      { text: 'I look. ', toolCalls: [{ toolName: 'look', input: {} }] },
      () => {
        told();
        return refuse ?? { text: 'Half of ', hold: new Promise(() => {}) };
      },
    ]),
    tools: { look },
    durable: { turnRetries: 0 },
  });
  const runtime = createTestRuntime({ agents: { agent }, store, clock });
  runtimes.push(runtime);
  return { agent, runtime, written, halfWay };
}

function recordWrites(store: Store): Written[] {
  const written: Written[] = [];
  const { commit } = store;
  store.commit = async (batch: Commit[]) => {
    const answers = await commit.call(store, batch);
    for (const { chunks, then } of batch)
      written.push({
        types: chunks.flatMap((write) => write.chunks.map((chunk) => (decodeChunk(chunk) as UIMessageChunk).type)),
        then: then.kind,
      });
    return answers;
  };
  return written;
}

async function typesOf(runtime: TestRuntime, run: string): Promise<string[]> {
  const types: string[] = [];
  for await (const chunk of runtime.getRun(run).stream<UIMessageChunk>()) types.push(chunk.type);
  return types;
}

describe('the end of a message', () => {
  it('stands in the commit that ends a stopped run', async () => {
    const { agent, runtime, written, halfWay } = setUp();
    const run = await runtime.start(agent, { prompt: 'Go' });
    await halfWay;
    await run.cancel();
    await expect(run.result()).rejects.toMatchObject({ code: 'cancelled' });
    const ending = written.filter(({ types }) => types.some((type) => type === 'abort' || type === 'finish'));
    expect(ending).toEqual([{ types: expect.arrayContaining(['abort', 'finish']), then: 'end' }]);
    expect((await typesOf(runtime, run.id)).slice(-2)).toEqual(['abort', 'finish']);
  });

  it('stands in the commit that ends a failed run, after what was taken back', async () => {
    const { agent, runtime, written } = setUp(Object.assign(new Error('no'), { isRetryable: false }));
    const run = await runtime.start(agent, { prompt: 'Go' });
    await expect(run.result()).rejects.toMatchObject({ cause: { code: 'model_failed' } });
    const ending = written.filter(({ types }) => types.some((type) => type === 'error' || type === 'finish'));
    expect(ending).toEqual([{ types: expect.arrayContaining(['error', 'finish']), then: 'end' }]);
    expect((await typesOf(runtime, run.id)).slice(-2)).toEqual(['error', 'finish']);
  });

  it.each([1, 2, 3])(
    'is written once, whoever ends the run, if the process dies at commit %i after the stop',
    async (n) => {
      const { agent, runtime, written, halfWay } = setUp();
      const run = await runtime.start(agent, { prompt: 'Go' });
      await halfWay;
      runtime.crashBeforeCommit(n);
      await run.cancel();
      const ended = run.result().catch((error: unknown) => error);
      await Promise.race([runtime.crashed(), ended]);
      expect(written.filter(({ types, then }) => types.includes('abort') && then !== 'end')).toEqual([]);
      await runtime.restart();
      expect(await ended).toMatchObject({ code: 'cancelled' });
      const ends = (await typesOf(runtime, run.id)).filter((type) => type === 'abort' || type === 'finish');
      expect(ends).toEqual(['abort', 'finish']);
    },
  );
});
