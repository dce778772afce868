import { tool } from 'ai';
import { ask, createHook, DurableAgent, sleep, step, workflow } from 'everturn';
import type { DurableSettings } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime, TestRuntimeOptions } from 'everturn/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { DAY, HOUR } from '../approvals/kit.ts';

type Registered = Pick<TestRuntimeOptions, 'agents' | 'workflows'>;

/** Its model says something and calls the tool, once. */
function agentWith(
  execute: () => unknown,
  { needsApproval = false, ...durable }: DurableSettings<'wait'> & { needsApproval?: boolean } = {},
): DurableAgent {
  const wait = tool({ inputSchema: z.object({}), needsApproval, execute: async () => execute() });
  const model = scriptedModel(({ prompt }) =>
    prompt.at(-1)?.role === 'tool' ? 'Done.' : { text: 'Let me see.', toolCalls: [{ toolName: 'wait', input: {} }] },
  );
  return new DurableAgent({ model, tools: { wait }, durable }) as unknown as DurableAgent;
}

/** Calls an agent whose tool needs a person. */
function above(durable: DurableSettings<'wait'>): DurableAgent {
  const below = agentWith(() => 'done', { ...durable, needsApproval: true });
  return agentWith(async () => (await below.generate({ prompt: 'go' })).text);
}

const told: DurableSettings<'wait'> = { onApprovalRequested: () => {} };
const expiring: DurableSettings<'wait'> = { ...told, approvals: { wait: { expiresIn: '3 days' } } };
const hook = (): PromiseLike<unknown> => createHook({ token: 'hook' });
const question = (expiresIn?: '3 days'): Promise<string> =>
  ask({ prompt: 'Which?', options: ['this'], ...(expiresIn === undefined ? {} : { expiresIn }) });
const stepAnd = (wait: () => unknown) => (): Promise<unknown> => Promise.all([wait(), step('note', () => 1)]);

const agent = (main: DurableAgent): Registered => ({ agents: { main } });
const flow = (run: () => Promise<unknown>): Registered => ({ workflows: [workflow('main', run)] });

function readsItsAgent(): Registered {
  const reader = agentWith(hook);
  return flow(async () => {
    let text = '';
    for await (const delta of (await reader.stream({ prompt: 'go' })).textStream) text += delta;
    return step('keep', () => text);
  });
}

async function begin(
  registered: Registered,
  clock = manualClock(),
): Promise<{ runtime: TestRuntime; look: () => Promise<object>; id: string }> {
  const runtime = createTestRuntime({ ...registered, clock, worker: { leaseMs: HOUR / 4, pollMs: HOUR } });
  onTestFinished(() => runtime.close());
  const { id } = await runtime.start('main', registered.agents === undefined ? {} : { prompt: 'Wait.' });
  await runtime.until(id, 'waiting');
  await runtime.clock.settleAll();
  const look = async (): Promise<object> => ({
    events: (await runtime.getRun(id).events()).length,
    chunks: (await runtime.store.read(id, 'default', { from: 0, maxBytes: 1 }))?.tail,
    waits: (await runtime.getRun(id).waits()).map((wait) => (wait.kind === 'sleep' ? wait.until : wait.kind)),
  });
  return { runtime, look, id };
}

async function pass(runtime: TestRuntime, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= HOUR) await runtime.clock.advance(Math.min(left, HOUR));
}

/** How often the run was claimed. */
async function claimsOf({ store }: TestRuntime, id: string): Promise<number> {
  return (await store.get(id))?.epoch ?? Number.NaN;
}

describe('a run that waits for days', () => {
  it.each<[string, Registered, string[]]>([
    ['a hook in a tool', agent(agentWith(hook)), ['hook']],
    ['a sleep in a tool', agent(agentWith(() => sleep('3 days'))), ['sleep']],
    ['a question in a tool', agent(agentWith(() => question())), ['question']],
    ['a question in a tool that expires', agent(agentWith(() => question('3 days'))), ['question', 'sleep']],
    ['an approval', agent(agentWith(hook, { needsApproval: true })), ['approval']],
    ['an approval that was told of', agent(agentWith(hook, { ...told, needsApproval: true })), ['approval']],
    ['an approval that expires', agent(agentWith(hook, { ...expiring, needsApproval: true })), ['approval', 'sleep']],
    ['an approval of an agent below', agent(above({})), ['approval']],
    ['an approval of an agent below that was told of', agent(above(told)), ['approval']],
    ['an approval of an agent below that expires', agent(above(expiring)), ['approval', 'sleep']],
    ['a raise of its turns', agent(agentWith(() => 1, { budget: { turns: 1 } })), ['approval']],
    ['a raise of its tokens', agent(agentWith(() => 1, { budget: { tokens: 1 } })), ['approval']],
    ['an agent of its own that waits', readsItsAgent(), ['hook']],
  ])('is left alone: %s', async (_, registered, kinds) => {
    const { runtime, look, id } = await begin(registered);
    const before = await look();
    expect(before).toMatchObject({ waits: kinds.map((kind) => (kind === 'sleep' ? expect.any(Number) : kind)) });
    await pass(runtime, DAY);
    expect(await look()).toEqual(before);
    expect(await claimsOf(runtime, id)).toBe(1);
    expect(runtime.logs).toEqual([]);
  });

  it.each<[string, Registered, Array<string | number>]>([
    ['a tool', agent(agentWith(stepAnd(hook))), ['hook']],
    ['a tool that sleeps besides', agent(agentWith(stepAnd(() => sleep('3 days')))), [expect.any(Number)]],
    ['a workflow', flow(stepAnd(hook)), ['hook']],
  ])(
    'is looked at for 20 minutes where code may go on unseen, and nothing is written: %s',
    async (_, registered, waits) => {
      const { runtime, look, id } = await begin(registered);
      const before = await look();
      expect(before).toMatchObject({ waits });
      const dueAt = (await runtime.store.get(id))?.dueAt ?? 0;
      expect(dueAt - runtime.clock.now()).toBe(10_000);
      await pass(runtime, HOUR);
      const claims = await claimsOf(runtime, id);
      expect(claims).toBeLessThan(12);
      await runtime.restart();
      await pass(runtime, DAY);
      expect(await look()).toEqual(before);
      expect(await claimsOf(runtime, id)).toBe(claims);
    },
  );

  it('is not woken for ever by code that awaits something plain for longer than it is kept in memory', async () => {
    const clock = manualClock();
    const plain = (): Promise<string> => new Promise((resolve) => clock.schedule(() => resolve('late'), 7 * 60_000));
    const { runtime, look, id } = await begin(
      flow(async () => {
        const value = await Promise.race([hook(), plain()]);
        return step('save', () => value);
      }),
      clock,
    );
    await pass(runtime, DAY);
    const [before, claims] = [await look(), await claimsOf(runtime, id)];
    expect(claims).toBeGreaterThan(2);
    expect(runtime.logs.at(-1)?.message).toContain('it runs again when what it waits for has come');
    await pass(runtime, DAY);
    expect([await look(), await claimsOf(runtime, id)]).toEqual([before, claims]);
    await runtime.resumeHook('hook', 'yes');
    expect(await runtime.getRun(id).result()).toBe('yes');
  });
});
