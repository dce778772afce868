import { DurableAgent, FatalError, RetryableError, sleep, step, workflow } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { tool } from 'ai';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { causeOf, expectError, expectRefusal } from './refusal.ts';

let runtime: TestRuntime | undefined;
afterEach(async () => {
  await runtime?.close();
  runtime = undefined;
});

describe('a duration that is none', () => {
  it.each(['1 month', '2 months', '3mo'])('%s has no fixed length: the error says what to write', (text) =>
    expectRefusal(() => sleep(text), {
      code: 'invalid_duration',
      says: /"\d ?mo\w*" as the duration of sleep\(\).*no fixed length.*"30 days".*Date/,
      details: { duration: text },
    }),
  );

  it.each(['soon', '', '-5s', '5 fortnights'])('"%s" is answered with examples', (text) =>
    expectRefusal(() => sleep(text), {
      code: 'invalid_duration',
      says: /"500ms", "30s", "5m", "2h", "3 days", "1 week"/,
    }),
  );

  it.each([Number.NaN, Number.POSITIVE_INFINITY, -1])('%d is refused', (ms) =>
    expectRefusal(() => sleep(ms), { code: 'invalid_duration', says: /duration of sleep\(\)/ }),
  );

  it('a Date that is none is refused', () =>
    expectRefusal(() => sleep(new Date('whenever')), { code: 'invalid_duration', says: /Invalid Date/ }));

  it('as the time-out of a step is refused where it is written', () =>
    expectRefusal(() => step('charge', () => 1, { timeout: '1 month' }), {
      code: 'invalid_duration',
      says: /the timeout of step "charge"/,
    }));

  it('as the time-out of a tool is refused when the agent is made', () =>
    expectRefusal(
      () =>
        new DurableAgent({
          model: scriptedModel([]),
          tools: { pay: tool({ inputSchema: z.object({}), execute: () => 1 }) },
          durable: { tools: { pay: { timeout: '1 month' } } },
        }),
      { code: 'invalid_duration', says: /durable\.tools\.pay\.timeout.*"30 days"/ },
    ));

  it('in a run fails it at once, and once', async () => {
    const wait = workflow('wait', () => sleep('1 month'));
    runtime = createTestRuntime({ workflows: [wait] });
    const cause = await causeOf(await runtime.start(wait));
    expectError(cause, { code: 'invalid_duration', says: /"1 month"/ });
  });

  it('as retryAfter fails the step at once', async () => {
    let calls = 0;
    const retry = workflow('retry', () =>
      step('call', () => {
        calls += 1;
        throw new RetryableError('busy', { retryAfter: '1 month' });
      }),
    );
    runtime = createTestRuntime({ workflows: [retry] });
    const cause = await causeOf(await runtime.start(retry));
    expectError(cause, { code: 'invalid_duration', says: /"1 month" as the duration of retryAfter of "call"/ });
    expect(calls).toBe(1);
  });
});

it('a FatalError is not tried again', async () => {
  let calls = 0;
  const fatal = workflow('fatal', () =>
    step('call', () => {
      calls += 1;
      throw new FatalError('closed account');
    }),
  );
  runtime = createTestRuntime({ workflows: [fatal] });
  await expect((await runtime.start(fatal)).result()).rejects.toThrow('closed account');
  expect(calls).toBe(1);
});
