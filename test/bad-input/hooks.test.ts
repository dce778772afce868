import { createHook, sleep, workflow } from 'everturn';
import { createTestRuntime } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { causeOf, expectError, expectRefusal } from './refusal.ts';

const schema = z.object({ amount: z.number(), note: z.string().optional() });
const pay = workflow('pay', async () => createHook({ token: 'payment', schema }));
const linger = workflow('linger', async () => {
  const answer = await createHook({ token: 'payment' });
  await sleep('1 day');
  return answer;
});
const two = workflow('two', async () => {
  createHook({ token: 'unused' });
  return createHook({ token: 'payment' });
});

let runtime: TestRuntime;
beforeEach(() => {
  runtime = createTestRuntime({ workflows: [pay, linger, two] });
});
afterEach(() => runtime.close());

describe('a hook that was answered', () => {
  it('says when, and keeps the first answer', async () => {
    const run = await runtime.start(linger, { id: 'r1' });
    await runtime.until(run, 'waiting');
    await runtime.resumeHook('payment', 'first');
    await runtime.until(run, 'waiting');
    await runtime.clock.advance('3 minutes');
    await expectRefusal(() => runtime.resumeHook('payment', 'second'), {
      code: 'hook_already_resumed',
      says: /"hook:040ffd5925d40e11" of run "r1".*resumed 180 s ago.*first payload counts/,
      details: { run: 'r1', key: 'hook:040ffd5925d40e11', at: runtime.clock.now() - 180_000 },
    });
    await runtime.clock.advance('1 day');
    expect(await run.result()).toBe('first');
  });

  it('takes the same delivery again without an error', async () => {
    const run = await runtime.start(linger);
    await runtime.until(run, 'waiting');
    await runtime.resumeHook('payment', 'once', { id: 'delivery-1' });
    await runtime.resumeHook('payment', 'once', { id: 'delivery-1' });
    await runtime.clock.advance('1 day');
    expect(await run.result()).toBe('once');
  });
});

it('a hook whose run has ended without it says so', async () => {
  const run = await runtime.start(two, { id: 'r1' });
  await runtime.until(run, 'waiting');
  await runtime.resumeHook('payment', 'paid');
  expect(await run.result()).toBe('paid');
  await expectRefusal(() => runtime.resumeHook('unused', 'late'), {
    code: 'hook_closed',
    says: /"hook:febe1d741b49e5a9" of run "r1".*ended/,
    details: { run: 'r1', key: 'hook:febe1d741b49e5a9' },
  });
});

describe('a payload that does not fit', () => {
  const bad = { amount: 'ten', note: 7 };

  it('is refused where it is delivered, with each field, and the hook still waits', async () => {
    const run = await runtime.start(pay, { id: 'r1' });
    await runtime.until(run, 'waiting');
    await expectRefusal(() => runtime.resumeHook('payment', bad), {
      code: 'payload_invalid',
      says: /hook "hook:040ffd5925d40e11" of run "r1".*"amount": .*"note": .*hook still waits/,
      details: { issues: [{ path: 'amount' }, { path: 'note' }] },
    });
    await runtime.resumeHook('payment', { amount: 10 });
    expect(await run.result()).toEqual({ amount: 10 });
  });

  it('delivered where the run is not in memory, is refused there and logged, and the hook waits for the next one', async () => {
    const run = await runtime.start(pay, { id: 'r1' });
    await runtime.until(run, 'waiting');
    await runtime.restart();
    await runtime.resumeHook('payment', bad);
    await runtime.until(run, 'waiting');
    const refused = runtime.logs.find(({ code }) => code === 'payload_invalid');
    expectError(refused?.err, {
      code: 'payload_invalid',
      says: /hook "hook:040ffd5925d40e11".*"amount": .*waits for another/,
      details: { issues: [{ path: 'amount' }, { path: 'note' }] },
    });
    await runtime.resumeHook('payment', { amount: 5, note: 'thanks' });
    expect(await run.result()).toEqual({ amount: 5, note: 'thanks' });
  });
});

it('a token that another run holds: the second run learns of the first', async () => {
  const first = await runtime.start(linger, { id: 'r1' });
  await runtime.until(first, 'waiting');
  const second = await runtime.start(linger, { id: 'r2' });
  const cause = await causeOf(second);
  expectError(cause, {
    code: 'hook_conflict',
    says: /"hook:040ffd5925d40e11" of run "r2".*belongs to.*run "r1".*Use another token/,
    details: { run: 'r2', key: 'hook:040ffd5925d40e11', holder: { run: 'r1' } },
  });
  await runtime.resumeHook('payment', 'still mine');
  await runtime.clock.advance('1 day');
  expect(await first.result()).toBe('still mine');
});
