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
  const look = tool({ inputSchema: z.object({}), execute: () => 'seen' });
  const agent = new DurableAgent({
    model: scriptedModel([
      { text: 'I look. ', toolCalls: [{ toolName: 'look', input: {} }] },
      refuse ?? { text: 'Half of ', hold: new Promise(() => {}) },
    ]),
    tools: { look },
    durable: { turnRetries: 0 },
  });
  const runtime = createTestRuntime({ agents: { agent }, store, clock });
  runtimes.push(runtime);
  return { agent, runtime, written };
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

/** Until the second turn is being told. */
async function halfWay(runtime: TestRuntime, run: string): Promise<void> {
  let steps = 0;
  for await (const chunk of runtime.getRun(run).stream<UIMessageChunk>()) {
    if (chunk.type === 'start-step') steps += 1;
    if (steps === 2 && chunk.type === 'text-delta') return;
  }
}

describe('the end of a message', () => {
  it('stands in the commit that ends a stopped run', async () => {
    const { agent, runtime, written } = setUp();
    const run = await runtime.start(agent, { prompt: 'Go' });
    await halfWay(runtime, run.id);
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

  it('is written once, and nothing of it before, by whoever ends the run after a crash', async () => {
    const { agent, runtime, written } = setUp();
    const run = await runtime.start(agent, { prompt: 'Go' });
    await halfWay(runtime, run.id);
    let commits = 0;
    const { commit } = runtime.store;
    // The process dies with the commit that would end the run.
    runtime.store.commit = (batch) => {
      if (batch.some(({ then }) => then.kind === 'end')) {
        commits += 1;
        if (commits === 1) return new Promise(() => {});
      }
      return commit.call(runtime.store, batch);
    };
    await run.cancel();
    await expect.poll(() => commits).toBe(1);
    expect(written.flatMap(({ types }) => types)).not.toContain('abort');
    await runtime.restart();
    await expect(run.result()).rejects.toMatchObject({ code: 'cancelled' });
    const types = await typesOf(runtime, run.id);
    expect(types.filter((type) => type === 'abort' || type === 'finish')).toEqual(['abort', 'finish']);
  });
});
