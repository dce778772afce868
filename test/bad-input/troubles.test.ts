/** What goes wrong without anybody's mistake, as the code inside of a run and the logs see it. */

import { DurableAgent, getStepMetadata, getToolMetadata, sleep, step, workflow } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { tool } from 'ai';
import { afterEach, expect, it } from 'vitest';
import { z } from 'zod';
import { caught, causeOf, expectError } from './refusal.ts';

let runtime: TestRuntime;
afterEach(() => runtime.close());

const never = (signal: AbortSignal, reasons: unknown[]): Promise<never> =>
  new Promise(() => signal.addEventListener('abort', () => reasons.push(signal.reason)));

it('a step that takes longer than its time-out is aborted, tried again and then fails with both numbers', async () => {
  const reasons: unknown[] = [];
  const slow = workflow('slow', () =>
    step('charge', () => never(getStepMetadata().signal, reasons), { timeout: '10s', retries: 1 }),
  );
  runtime = createTestRuntime({ workflows: [slow] });
  const run = await runtime.start(slow);
  await runtime.clock.advance('1 minute');
  expectError(await causeOf(run), {
    code: 'step_timeout',
    says: /step "charge".*timeout of 10000 ms \(attempt 2\).*Raise its timeout/,
    details: { key: 'charge', attempt: 2, timeoutMs: 10_000 },
  });
  expect(reasons).toMatchObject([{ code: 'step_timeout' }, { code: 'step_timeout' }]);
});

it('a step that fails is in the logs, with what it threw', async () => {
  const bad = workflow('bad', () => step('charge', () => Promise.reject(new Error('declined')), { retries: 0 }));
  runtime = createTestRuntime({ workflows: [bad] });
  const run = await runtime.start(bad);
  await caught(() => run.result());
  expect(runtime.logs.find((line) => line.code === 'step_failed')).toMatchObject({
    level: 'warn',
    run: run.id,
    step: 'charge',
    attempt: 1,
    err: { message: 'declined' },
  });
});

it('a body whose run was taken away is aborted, and told where the run goes on', async () => {
  const reasons: unknown[] = [];
  const slow = workflow('slow', () =>
    Promise.all([step('charge', () => never(getStepMetadata().signal, reasons)), sleep('1 hour')]),
  );
  runtime = createTestRuntime({ workflows: [slow] });
  const run = await runtime.start(slow, { id: 'r1' });
  await runtime.clock.settleAll();
  await runtime.store.control(run.id, 'terminate');
  await runtime.clock.advance('2 hours');
  expect(reasons).toHaveLength(1);
  expectError(reasons[0], {
    code: 'lease_lost',
    says: /run "r1" was lost.*new holder; drop this attempt/,
    details: { run: 'r1' },
  });
  expect(runtime.logs.find((line) => line.code === 'lease_lost')).toMatchObject({ level: 'warn', run: 'r1' });
});

it('a run that was cancelled says so outside, and inside what may still be done', async () => {
  const errors: unknown[] = [];
  const wait = workflow('wait', () =>
    sleep('1 hour').catch((error: unknown) => {
      errors.push(error);
      throw error;
    }),
  );
  runtime = createTestRuntime({ workflows: [wait] });
  const run = await runtime.start(wait, { id: 'r1' });
  await runtime.until(run, 'waiting');
  await run.cancel();
  expectError(await caught(() => run.result()), {
    code: 'cancelled',
    says: /run "r1" was cancelled.*Start a new one/,
    details: { run: 'r1' },
  });
  expectError(errors[0], { code: 'cancelled', says: /run "r1" was cancelled.*shield\(\)/ });
});

it('a run whose code was changed is parked, with both sides and what to do', async () => {
  const version = (name: string) =>
    workflow('deploy', async () => {
      await step(name, () => 1);
      await sleep('1 hour');
    });
  runtime = createTestRuntime({ workflows: [version('build')] });
  const run = await runtime.start('deploy', { id: 'r1' });
  await runtime.until(run, 'waiting');
  await runtime.restart({ workflows: [version('compile')] });
  await runtime.clock.advance('61 minutes');
  await runtime.until(run, 'parked');
  expect(runtime.logs.filter((line) => line.level === 'error')).toMatchObject([
    {
      code: 'divergence',
      run: 'r1',
      key: 'build',
      recorded: 'step_completed',
      message: expect.stringMatching(/parked/),
    },
  ]);
  expectError(await caught(() => run.result()), {
    code: 'run_parked',
    says: /"r1" is parked \(divergence\).*"build".*compile.*Fix the cause, then call runtime\.resume\("r1"\)/,
    details: { parked: { code: 'divergence', key: 'build', recorded: 'step_completed' } },
  });
  await runtime.restart({ workflows: [version('build')] });
  await runtime.resume(run.id);
  await runtime.clock.advance('1 hour');
  await run.result();
});

it('a model that gives no answer fails the run when its retries are spent, with the reason and what to look at', async () => {
  const agent = new DurableAgent({ model: scriptedModel(() => new Error('overloaded')), durable: { turnRetries: 2 } });
  runtime = createTestRuntime({ agents: { agent } });
  const run = await runtime.start(agent, { prompt: 'Hi' });
  await runtime.clock.advance('10 minutes');
  expectError(await causeOf(run), {
    code: 'model_failed',
    says: /"agent#0\/t0" in 3 attempts: overloaded.*durable\.fallbackModels/,
    details: { turn: 'agent#0/t0', attempts: 3 },
  });
});

it('a tool that must not be repeated after a crash tells the model, with the key to look for', async () => {
  let key = '';
  let executed = 0;
  const pay = tool({
    inputSchema: z.object({}),
    execute: () => {
      key = getToolMetadata().idempotencyKey;
      executed += 1;
      return 'paid';
    },
  });
  const model = scriptedModel([{ toolCalls: [{ toolName: 'pay', input: {} }] }, 'I do not know.']);
  const agent = new DurableAgent({ model, tools: { pay }, durable: { tools: { pay: { onInDoubt: 'fail' } } } });
  runtime = createTestRuntime({ agents: { agent } });
  runtime.crashBeforeCommit(3); // 1: the turn, 2: the tool's start, 3: its result
  const run = await runtime.start(agent, { prompt: 'Pay.' });
  await runtime.crashed();
  await runtime.restart();
  expect(await run.result()).toMatchObject({ text: 'I do not know.' });
  expect(executed).toBe(1);
  const failed = (await run.events()).find((event) => event.type === 'tool_failed');
  expectError(failed?.value, {
    code: 'tool_in_doubt',
    says: new RegExp(`"pay" took effect.*Look for the idempotency key "${key}"`),
    details: { idempotencyKey: key, attempt: 1 },
  });
  expect(JSON.stringify(model.calls.at(-1)?.prompt)).toContain('tool_in_doubt');
});
