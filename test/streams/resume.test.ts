/** Agents that write a stream through crashes, a failed turn, smoothStream and a stop: what every reader gets of it. */

import { tool } from 'ai';
import type { UIMessageChunk } from 'ai';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { AgentResult } from '../../src/agent/run/agent-state.ts';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import { createRuntime } from '../../src/app/create-runtime.ts';
import type { Runtime } from '../../src/app/create-runtime.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { decodeValue } from '../../src/runtime/codec.ts';
import type { Registrable } from '../../src/runtime/registrable.ts';
import type { Store } from '../../src/runtime/store.ts';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { foldMessage } from '../../src/streams/fold.ts';
import { createStreamReader } from '../../src/streams/reader.ts';
import { smoothStream } from '../../src/streams/smooth-stream.ts';
import { getWritable } from '../../src/streams/writable.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import type { ManualClock } from '../../src/testing/manual-clock.ts';
import { mortalStore } from '../support/mortal-store.ts';
import { call, scriptedModel, text } from '../agent/scripted.ts';
import type { ScriptedModel, ScriptedTurn } from '../agent/scripted.ts';
import { killable } from '../support/killable.ts';
import { silentLogger } from '../support/silent-logger.ts';

interface Scenario {
  /** Numbers of the model calls that break off in mid-stream. */
  failing?: number[];
  /** The run is cancelled when this many chunks were read. */
  stopAt?: number;
  /** The first turn asks for two refunds, of which one is approved. */
  approving?: boolean;
  /** Of smoothStream. */
  delayInMs?: number;
}

/** Leases are compared on a clock that stands still, so that a test decides when a dead process is noticed. */
interface World extends Scenario {
  leases: ManualClock;
  store: Store;
  /** Each call writes words that no other call writes. */
  model: ScriptedModel;
}

const opened: Runtime[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((runtime) => runtime.close({ graceMs: 0 })));
});

function createWorld(scenario: Scenario = {}): World {
  const leases = manualClock();
  const model = scriptedModel((options, index): ScriptedTurn => {
    const turn = options.prompt.filter((message) => message.role === 'assistant').length;
    const words = text(`turn${turn}.call${index} `.repeat(6));
    if (scenario.failing?.includes(index) === true)
      return { content: [words], breakWith: { throws: new TypeError('fetch failed') } };
    if (turn === 0 && scenario.approving === true)
      return {
        content: [
          words,
          call('search', { q: 1 }, 'c1'),
          call('refund', { q: 2 }, 'c2'),
          call('refund', { q: 3 }, 'c3'),
        ],
      };
    if (turn === 0) return { content: [words, call('search', { q: 1 }, 'c1'), call('search', { q: 2 }, 'c2')] };
    return { content: [{ type: 'reasoning', text: `turn${turn}.call${index} thinks ` }, words] };
  });
  return { ...scenario, leases, store: memoryStore({ clock: leases }), model };
}

const lookUp = tool({
  inputSchema: z.object({ q: z.number() }),
  execute: async ({ q }) => {
    const writer = getWritable<UIMessageChunk>().getWriter();
    await writer.write({ type: 'data-progress', id: `p${q}`, data: { q } });
    writer.releaseLock();
    return { found: q };
  },
});

function agentOf(world: World): Registrable {
  return new DurableAgent({
    model: world.model,
    tools: { search: lookUp, refund: lookUp },
    toolApproval: { refund: 'user-approval' },
    durable: { transform: smoothStream({ delayInMs: world.delayInMs ?? 2 }) },
  });
}

function openRuntime(world: World, store: Store): Runtime {
  const runtime = createRuntime({
    store,
    agents: { agent: agentOf(world) },
    logger: silentLogger,
    worker: { pollMs: 5 },
  });
  if (store === world.store) opened.push(runtime); // a killed process closes nothing
  return runtime;
}

/** Runs the agent to its end: in one process, or in two if the first one dies. Answers what a reader got who stayed all the time. */
async function runAgent(world: World, lastCommit?: number): Promise<{ died: boolean; live: UIMessageChunk[] }> {
  let announce = (): void => {};
  const killed = new Promise<'died'>((resolve) => {
    announce = () => resolve('died');
  });
  const { store } = killable(world.store, (commit) => {
    if (commit !== lastCommit) return 'go';
    announce();
    return 'die after';
  });
  await openRuntime(world, store).start('agent', { id: 'r', prompt: 'Search twice.' });
  const live = follow(world);
  const outcome = await Promise.race([ended(world), killed]);
  if (outcome === 'died') {
    openRuntime(world, world.store);
    await world.leases.advance(20_000);
    await ended(world);
  }
  return { died: outcome === 'died', live: await live };
}

/** Resolves when the run has ended. While it waits, time passes and a person answers. */
async function ended(world: World): Promise<void> {
  const { approvals } = createRuntime({
    store: world.store,
    agents: { agent: agentOf(world) },
    logger: silentLogger,
    worker: false,
  });
  for (;;) {
    const run = await world.store.get('r');
    if (run?.endedAt !== undefined && run.endedAt !== null) return;
    if (run?.status === 'waiting') await world.leases.advance(2_000);
    for (const { id, toolCallId } of (await approvals.list()).items) {
      if (toolCallId === 'c2') await approvals.approve(id, { by: 'ada' });
      else await approvals.deny(id, { by: 'ada' });
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Reads from the start to the end, and stops the run where the scenario says so. */
async function follow(world: World): Promise<UIMessageChunk[]> {
  const chunks: UIMessageChunk[] = [];
  const reader = createStreamReader({ store: world.store, clock: systemClock() });
  for await (const { chunk } of reader.chunks({ run: 'r', stream: 'default' })) {
    chunks.push(chunk as UIMessageChunk);
    if (chunks.length === world.stopAt) await world.store.control('r', 'cancel');
  }
  return chunks;
}

async function readFrom(world: World, from: number): Promise<UIMessageChunk[]> {
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
async function expectSound(world: World, live: UIMessageChunk[]): Promise<UIMessageChunk[]> {
  const run = await world.store.get('r');
  const result = (run?.result === null || run === null ? {} : decodeValue(run.result)) as AgentResult;
  const whole = await readFrom(world, 0);
  expect(live).toEqual(whole);
  expect(await foldMessage(whole)).toEqual(result.uiMessage);
  expect(whole.filter((chunk) => chunk.type === 'finish')).toHaveLength(1);
  expect(whole.at(-1)?.type).toBe('finish');
  for (let k = 0; k <= whole.length; k += 1) {
    expect([...whole.slice(0, k), ...(await readFrom(world, k))]).toEqual(whole);
    for (const calls of await callsShown(whole.slice(0, k))) expect(calls.length).toBeLessThanOrEqual(1);
  }
  const kept = JSON.stringify(result.messages);
  for (const calls of await callsShown(whole)) for (const one of calls) expect(kept).toContain(one);
  const tools = JSON.stringify(result.uiMessage).match(/"output-available"/g) ?? [];
  expect(result.uiMessage?.parts.filter((part) => part.type === 'data-progress')).toHaveLength(tools.length);
  return whole;
}

const scenarios: Array<{ name: string; scenario: Scenario }> = [
  { name: 'two turns with tools', scenario: {} },
  { name: 'a turn that broke off in mid-stream', scenario: { failing: [1] } },
  { name: 'a stop in mid-answer', scenario: { stopAt: 30 } },
  { name: 'approvals', scenario: { approving: true } },
];

describe.each(scenarios)("an agent's stream with $name", ({ scenario }) => {
  it('joins at every offset, and shows what the run keeps', async () => {
    const world = createWorld(scenario);
    const { live } = await runAgent(world);
    await expectSound(world, live);
  });

  it('does so after a death at any commit', async () => {
    let deaths = 0;
    for (let commit = 1; ; commit += 1) {
      const world = createWorld(scenario);
      const { died, live } = await runAgent(world, commit);
      await expectSound(world, live);
      if (!died) break;
      deaths += 1;
    }
    expect(deaths).toBeGreaterThan(4);
  }, 60_000);
});

describe('smoothStream', () => {
  it('does not type out again what is recorded', async () => {
    const world = createWorld();
    const dying = mortalStore(world.store, { at: (commit) => commit.then.kind === 'end', when: 'before' });
    await openRuntime(world, dying).start('agent', { id: 'r', prompt: 'Search twice.' });
    while (!dying.dead) await new Promise((resolve) => setTimeout(resolve, 2));
    openRuntime({ ...world, delayInMs: 3_600_000 }, world.store);
    await world.leases.advance(20_000);
    await ended(world);
    await expectSound(world, await readFrom(world, 0));
    expect(world.model.calls).toHaveLength(2);
  });
});
