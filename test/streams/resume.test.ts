/** Agents that write a stream through crashes, a failed turn, smoothStream and a stop: what every reader gets of it. */

import { tool } from 'ai';
import type { UIMessageChunk } from 'ai';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { AgentResult } from '../../src/agent/agent-state.ts';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import { createRuntime } from '../../src/app/create-runtime.ts';
import type { Runtime } from '../../src/app/create-runtime.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import type { Store } from '../../src/runtime/store.ts';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { foldMessage } from '../../src/streams/fold.ts';
import { createStreamReader } from '../../src/streams/reader.ts';
import { smoothStream } from '../../src/streams/smooth-stream.ts';
import { getWritable } from '../../src/streams/writable.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import type { ManualClock } from '../../src/testing/manual-clock.ts';
import { call, scriptedModel, text } from '../agent/scripted.ts';
import type { ScriptedModel, ScriptedTurn } from '../agent/scripted.ts';
import { killable } from '../support/killable.ts';

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Leases are compared on a clock that stands still, so that a test decides when a dead process is noticed. */
interface World {
  leases: ManualClock;
  store: Store;
  model: ScriptedModel;
  /** Model calls, by their number: each writes words that nobody else writes. */
  failing: Set<number>;
}

const opened: Runtime[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((runtime) => runtime.close({ graceMs: 0 })));
});

function createWorld(): World {
  const leases = manualClock();
  const failing = new Set<number>();
  const model = scriptedModel((options, index): ScriptedTurn => {
    const turn = options.prompt.filter((message) => message.role === 'assistant').length;
    const words = text(`turn${turn}.call${index} `.repeat(6));
    if (failing.has(index)) return { content: [words], breakWith: { throws: new TypeError('fetch failed') } };
    if (turn === 0) return { content: [words, call('search', { q: 1 }, 'c1'), call('search', { q: 2 }, 'c2')] };
    return { content: [{ type: 'reasoning', text: `turn${turn}.call${index} thinks ` }, words] };
  });
  return { leases, store: memoryStore({ clock: leases }), model, failing };
}

const search = tool({
  inputSchema: z.object({ q: z.number() }),
  execute: async ({ q }) => {
    const writer = getWritable<UIMessageChunk>().getWriter();
    await writer.write({ type: 'data-progress', id: `p${q}`, data: { q } });
    writer.releaseLock();
    return { found: q };
  },
});

function openRuntime(world: World, store: Store): Runtime {
  const agent = new DurableAgent({
    model: world.model,
    tools: { search },
    durable: { transform: smoothStream({ delayInMs: 3 }) },
  });
  const runtime = createRuntime({ store, agents: { agent }, logger: silent, worker: { pollMs: 5 } });
  opened.push(runtime);
  return runtime;
}

interface Death {
  /** From 1. */
  commit: number;
  when: 'before' | 'after';
}

/** Runs the agent to its end: in one process, or in two if the first one dies. */
async function runAgent(world: World, death?: Death): Promise<{ died: boolean; result: AgentResult }> {
  let announce = (): void => {};
  const killed = new Promise<'died'>((resolve) => {
    announce = () => resolve('died');
  });
  const { store } = killable(world.store, (commit) => {
    if (commit !== death?.commit) return 'go';
    announce();
    return death.when === 'before' ? 'die before' : 'die after';
  });
  const run = await openRuntime(world, store).start<AgentResult>('agent', { id: 'r', prompt: 'Search twice.' });
  const outcome = await Promise.race([run.result(), killed]);
  if (outcome !== 'died') return { died: false, result: outcome };
  await world.leases.advance(20_000);
  return { died: true, result: await openRuntime(world, world.store).getRun<AgentResult>('r').result() };
}

async function read(world: World, from = 0): Promise<UIMessageChunk[]> {
  const chunks: UIMessageChunk[] = [];
  const reader = createStreamReader({ store: world.store, clock: systemClock() });
  for await (const { offset, chunk } of reader.chunks({ run: 'r', stream: 'default', from })) {
    expect(offset).toBe(from + chunks.length);
    chunks.push(chunk as UIMessageChunk);
  }
  return chunks;
}

/** The calls whose words a message shows, step by step. */
async function callsShown(chunks: UIMessageChunk[]): Promise<string[][]> {
  const message = await foldMessage(chunks);
  const steps: string[][] = [];
  for (const part of message?.parts ?? []) {
    if (part.type === 'step-start') steps.push([]);
    else steps.at(-1)?.push(...(JSON.stringify(part).match(/turn\d+\.call\d+/g) ?? []));
  }
  return steps.map((words) => [...new Set(words)]);
}

/** What must hold of the stream of an ended run, however it came about. */
async function expectSound(world: World, result: AgentResult, live: Promise<UIMessageChunk[]>): Promise<void> {
  const whole = await read(world);
  expect(await live).toEqual(whole);
  expect(await foldMessage(whole)).toEqual(result.uiMessage);
  expect(whole.filter((chunk) => chunk.type === 'finish')).toHaveLength(1);
  expect(whole.at(-1)?.type).toBe('finish');
  expect(whole.filter((chunk) => chunk.type === 'start-step')).toHaveLength(result.turns);
  for (let k = 0; k <= whole.length; k += 1) {
    expect([...whole.slice(0, k), ...(await read(world, k))]).toEqual(whole);
    for (const calls of await callsShown(whole.slice(0, k))) expect(calls.length).toBeLessThanOrEqual(1);
  }
  const recorded = JSON.stringify(result.messages);
  for (const calls of await callsShown(whole)) for (const one of calls) expect(recorded).toContain(one);
}

describe("an agent's stream", () => {
  it('joins at every offset, and shows the message that the run keeps', async () => {
    const world = createWorld();
    const live = awaitRun(world);
    const { result } = await runAgent(world);
    await expectSound(world, result, live);
    expect(world.model.calls).toHaveLength(2);
  });

  for (const when of ['before', 'after'] as const) {
    it(`joins at every offset after a death ${when} any commit`, async () => {
      let deaths = 0;
      for (let commit = 1; ; commit += 1) {
        const world = createWorld();
        const live = awaitRun(world);
        const { died, result } = await runAgent(world, { commit, when });
        await expectSound(world, result, live);
        if (!died) break;
        deaths += 1;
      }
      expect(deaths).toBeGreaterThan(8);
    }, 60_000);
  }
});

/** A reader that is there from the start, and stays. */
async function awaitRun(world: World): Promise<UIMessageChunk[]> {
  while ((await world.store.get('r')) === null) await new Promise((resolve) => setImmediate(resolve));
  return read(world);
}
