/** Durable calls where there is no run, and inside steps. */

import {
  child,
  createHook,
  DurableAgent,
  getStepMetadata,
  getToolMetadata,
  getWritable,
  now,
  randomUUID,
  shield,
  sleep,
  step,
  workflow,
} from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { tool } from 'ai';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { causeOf, expectError, expectRefusal } from './refusal.ts';

const noop = workflow('noop', async () => 1);

describe('outside of a run', () => {
  it('sleep is a plain timer', async () => {
    const startedAt = performance.now();
    await sleep('5ms');
    expect(performance.now() - startedAt).toBeGreaterThan(3);
  });

  it('step calls its function plainly, once, and passes on what it throws', async () => {
    let calls = 0;
    expect(await step('count', () => (calls += 1))).toBe(1);
    await expect(step('fail', () => Promise.reject(new Error('plain')))).rejects.toThrow(/^plain$/);
    await expect(
      step('fail', () => {
        throw new Error('plain');
      }),
    ).rejects.toThrow(/^plain$/);
    expect(calls).toBe(1);
  });

  it('shield calls its function, and now and randomUUID answer the platform', async () => {
    expect(await shield(() => 'done')).toBe('done');
    expect(Math.abs(now() - Date.now())).toBeLessThan(1_000);
    expect(randomUUID()).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    expect(randomUUID()).not.toBe(randomUUID());
  });

  it('an agent is a plain ToolLoopAgent', async () => {
    const agent = new DurableAgent({ model: scriptedModel(['Hello.']) });
    expect((await agent.generate({ prompt: 'Hi' })).text).toBe('Hello.');
  });

  it.each<[string, () => unknown, RegExp]>([
    ['createHook', () => createHook(), /does not run inside.*createRuntime\(\{ workflows \}\).*runtime\.start/],
    ['getWritable', () => getWritable(), /does not run inside.*runtime\.start/],
    ['child', () => child(noop, undefined), /does not run inside.*runtime\.start/],
    ['getStepMetadata', () => getStepMetadata(), /no step or tool of a run executes.*body of a step/],
    ['getToolMetadata', () => getToolMetadata(), /no tool of a durable agent's run executes.*runtime\.start/],
  ])('%s() says why not, and where to call it', (call, attempt, says) =>
    expectRefusal(attempt, {
      code: 'outside_run',
      says: new RegExp(`Cannot call ${call}\\(\\) here.*${says.source}`),
    }),
  );
});

describe('inside a step', () => {
  let runtime: TestRuntime;
  let attempts = 0;
  afterEach(() => runtime.close());

  const inStep = (body: () => unknown) =>
    workflow('in-step', () =>
      step('outer', async () => {
        attempts += 1;
        return body();
      }),
    );

  it.each<[string, () => unknown]>([
    ['sleep', () => sleep(1)],
    ['createHook', () => createHook()],
    ['child', () => child(noop, undefined)],
  ])('%s() is refused at once, and says where to call it', async (call, body) => {
    attempts = 0;
    const definition = inStep(body);
    runtime = createTestRuntime({ workflows: [definition] });
    expectError(await causeOf(await runtime.start(definition)), {
      code: 'inside_step',
      says: new RegExp(`Cannot call ${call}\\(\\) inside the step "outer".*workflow or tool around the step`),
    });
    expect(attempts).toBe(1);
  });

  it('another step, an agent, metadata and a stream work as parts of it', async () => {
    const agent = new DurableAgent({ model: scriptedModel(['Hello.']) });
    const definition = inStep(async () => {
      await getWritable().getWriter().write('chunk');
      const { text } = await agent.generate({ prompt: 'Hi' });
      return [await step('inner', () => getStepMetadata().key), text];
    });
    runtime = createTestRuntime({ workflows: [definition] });
    const run = await runtime.start(definition);
    expect(await run.result()).toEqual(['outer', 'Hello.']);
    expect((await run.events()).filter((event) => event.type === 'step_completed').map((event) => event.key)).toEqual([
      'outer',
    ]);
  });

  it('a step has no tool, and a workflow has no step', async () => {
    const inWorkflow = workflow('in-workflow', async () => getStepMetadata());
    const noTool = workflow('no-tool', () => step('s', () => getToolMetadata(), { retries: 0 }));
    runtime = createTestRuntime({ workflows: [inWorkflow, noTool] });
    expectError(await causeOf(await runtime.start(inWorkflow)), { code: 'outside_run', says: /body of a step/ });
    expectError(await causeOf(await runtime.start(noTool)), { code: 'outside_run', says: /a tool's execute/ });
  });
});

describe('inside a tool', () => {
  it('durable calls work', async () => {
    const wait = tool({
      inputSchema: z.object({}),
      execute: async () => {
        await sleep('2 days');
        return step('look', () => getToolMetadata().attempt);
      },
    });
    const agent = new DurableAgent({
      model: scriptedModel([
        { toolCalls: [{ toolName: 'wait', input: {} }] },
        ({ toolResults }) => `After ${String(toolResults['wait'])}.`,
      ]),
      tools: { wait },
    });
    const runtime = createTestRuntime({ agents: { agent } });
    const run = await runtime.start(agent, { prompt: 'Wait.' });
    await runtime.until(run, 'waiting');
    await runtime.clock.advance('2 days');
    expect(await run.result()).toMatchObject({ text: 'After 1.' });
    await runtime.close();
  });
});
