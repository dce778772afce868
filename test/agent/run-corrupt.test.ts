/** What a run needs and cannot read parks it, whoever asks for it: it goes on once the store is whole again. */

import { tool } from 'ai';
import { DurableAgent, step, workflow } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { decodeText, encodeText } from '../../src/runtime/codec.ts';
import type { Payload } from '../../src/runtime/codec.ts';
import type { Store } from '../../src/runtime/store.ts';

const runtimes: TestRuntime[] = [];
afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close()));
});

type Damage = (store: Store) => () => void;

/** The values of events of a type are read as what nobody wrote. The answer mends them. */
function events(type: string): Damage {
  const spoil = (payload: Payload): Payload => {
    const text = decodeText(payload);
    const cut = text.indexOf('\n');
    return text.slice(0, cut).includes(`"${type}"`) ? encodeText(`${text.slice(0, cut)}\n[[`, 'a test') : payload;
  };
  return (store) => {
    const { load } = store;
    store.load = async (...call) => {
      const loaded = await load.apply(store, call);
      if (loaded === null) return null;
      return { ...loaded, events: loaded.events.map(spoil), checkpoints: loaded.checkpoints.map(spoil) };
    };
    return () => (store.load = load);
  };
}

const chunks: Damage = (store) => {
  const { read } = store;
  store.read = async (...call) => {
    const page = await read.apply(store, call);
    return page === null ? null : { ...page, chunks: page.chunks.map(() => encodeText('[[', 'a test')) };
  };
  return () => (store.read = read);
};

const threadResults: Damage = (store) => {
  const { thread } = store;
  store.thread = async (...call) => {
    const runs = await thread.apply(store, call);
    return runs.map((run) => (run.result === null ? run : { ...run, result: encodeText('[[', 'a test') }));
  };
  return () => (store.thread = thread);
};

function setUp(policy: 'user-approval' | 'approved' = 'user-approval') {
  const model = scriptedModel([
    { toolCalls: [{ toolName: 'look', input: {} }] },
    { toolCalls: [{ toolName: 'pay', input: {} }] },
    { text: 'Done.' },
    { text: 'Welcome.' },
  ]);
  const empty = z.object({});
  const agent = new DurableAgent({
    model,
    tools: {
      look: tool({ inputSchema: empty, execute: () => 'seen' }),
      pay: tool({ inputSchema: empty, execute: () => 'paid' }),
    },
    toolApproval: { look: () => undefined, pay: () => policy },
  });
  const flow = workflow('flow', async () => {
    const said = await agent.generate({ prompt: 'Go' }).then(
      ({ finishReason }) => finishReason,
      () => 'it failed',
    );
    return step('last', () => said);
  });
  const runtime = createTestRuntime({ agents: { agent }, workflows: [flow] });
  runtimes.push(runtime);
  return { agent, flow, runtime };
}

describe('a run parks', () => {
  it.each([
    ['the state at its checkpoint', events('segment_completed'), 'segment_completed'],
    ['its stream', chunks, 'chunk'],
  ])('when it cannot read %s, and goes on when it can', async (_, damage, named) => {
    const { agent, runtime } = setUp();
    const run = await runtime.start(agent, { prompt: 'Go' });
    const { id } = await runtime.pendingApproval(run);
    const mend = damage(runtime.store);
    await runtime.restart();
    await runtime.approvals.approve(id, { by: 'ada' });
    const { parked } = await runtime.until(run, 'parked');
    expect(parked).toMatchObject({ code: 'value_corrupt', details: { message: expect.stringContaining(named) } });
    mend();
    await runtime.resume(run.id);
    expect((await run.result()).text).toBe('Done.');
  });

  it.each(['turn_completed', 'tool_completed', 'policy_decided'])(
    'when it dies in a segment and cannot read a %s of it',
    async (type) => {
      const { agent, runtime } = setUp();
      runtime.crashBeforeCommit(3);
      const run = await runtime.start(agent, { prompt: 'Go' });
      await runtime.crashed();
      const mend = events(type)(runtime.store);
      await runtime.restart();
      const { parked } = await runtime.until(run, 'parked');
      expect(parked).toMatchObject({ code: 'value_corrupt' });
      mend();
      await runtime.resume(run.id);
      await runtime.approvals.approve((await runtime.pendingApproval(run)).id, { by: 'ada' });
      expect((await run.result()).text).toBe('Done.');
    },
  );

  it('when an earlier answer of its thread cannot be read, and names the run that has it', async () => {
    const { agent, runtime } = setUp();
    const first = await runtime.start(agent, { id: 'first', prompt: 'Go', thread: 't' });
    await runtime.approvals.approve((await runtime.pendingApproval(first)).id, { by: 'ada' });
    await first.result();
    const mend = threadResults(runtime.store);
    const second = await runtime.start(agent, { prompt: 'Thanks', thread: 't' });
    const { parked } = await runtime.until(second, 'parked');
    expect(parked).toMatchObject({ code: 'value_corrupt', details: { message: expect.stringContaining('"first"') } });
    mend();
    await runtime.resume(second.id);
    expect((await second.result()).text).toBe('Welcome.');
  });

  it.each(['turn_completed', 'tool_completed', 'policy_decided'])(
    'when its own code calls an agent and catches what it throws: %s',
    async (type) => {
      const { flow, runtime } = setUp('approved');
      runtime.crashBeforeCommit(4);
      const run = await runtime.start(flow);
      await runtime.crashed();
      const mend = events(type)(runtime.store);
      await runtime.restart();
      await runtime.until(run, 'parked');
      mend();
      await runtime.resume(run.id);
      expect(await run.result()).toBe('stop');
    },
  );
});
