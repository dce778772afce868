import { createHook, FatalError, getWritable, step, workflow } from 'everturn';
import type { DurableError, Workflow } from 'everturn';
import { createTestRuntime } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { causeOf, expectError, expectRefusal } from './refusal.ts';

class Account {
  readonly balance = 5;
}

const unserializable = { customers: [{ name: 'Ada' }, { name: 'Bob', notify: () => 'hi' }] };
const huge = 'x'.repeat(1_100_000);

let calls = 0;
const fails = (value: unknown) =>
  workflow('fails', async () => {
    await step('load', () => {
      calls += 1;
      return value;
    });
  });
const returns = workflow('returns', async ({ big }: { big: boolean }) => (big ? huge.repeat(16) : unserializable));
const recovers = workflow('recovers', () =>
  step('load', () => new Account()).catch((error: DurableError) => [error.code, error.details['path']]),
);
const echo = workflow('echo', async (input: unknown) => input);
const ask = workflow('ask', async () => createHook({ token: 'ask' }));
const streams = workflow('streams', async () => {
  await getWritable().getWriter().write(unserializable);
});
const throws = workflow('throws', () =>
  step('call', () =>
    Promise.reject(Object.assign(new FatalError('refused'), { socket: { close: () => {} }, status: 402 })),
  ),
);

let runtime: TestRuntime;
const open = (...workflows: Array<Workflow<never>>): void => {
  runtime = createTestRuntime({ workflows, maxValueBytes: 1_048_576 });
};
beforeEach(() => {
  calls = 0;
});
afterEach(() => runtime.close());

describe('a value that cannot be stored', () => {
  it('fails its step once, with the path to it', async () => {
    const definition = fails(unserializable);
    open(definition);
    const cause = await causeOf(await runtime.start(definition));
    expectError(cause, {
      code: 'value_not_serializable',
      says: /the result of the step "load".*"\.customers\[1\]\.notify".*Return plain data/,
      details: { path: '.customers[1].notify' },
    });
    expect(calls).toBe(1);
  });

  it('reaches the code around its step as an error that can be caught', async () => {
    open(recovers);
    expect(await (await runtime.start(recovers)).result()).toEqual(['value_not_serializable', '']);
  });

  it('is refused as the input of a run, before anything is stored', async () => {
    open(echo);
    await expectRefusal(() => runtime.start(echo, { id: 'r1', input: { list: [unserializable] } }), {
      code: 'value_not_serializable',
      says: /the input of "echo".*"\.list\[0\]\.customers\[1\]\.notify"/,
    });
    expect(await runtime.runs()).toEqual([]);
  });

  it('fails the run whose result it is', async () => {
    open(returns);
    const run = await runtime.start(returns, { id: 'r1', input: { big: false } });
    const cause = await causeOf(run);
    expectError(cause, { code: 'value_not_serializable', says: /"\.customers\[1\]\.notify".*Return plain data/ });
  });

  it('is refused as the payload of a hook, and the hook still waits', async () => {
    open(ask);
    const run = await runtime.start(ask);
    await runtime.until(run, 'waiting');
    await expectRefusal(() => runtime.resumeHook('ask', unserializable), {
      code: 'value_not_serializable',
      says: /the payload of a hook.*"\.customers\[1\]\.notify"/,
    });
    await runtime.resumeHook('ask', 'yes');
    expect(await run.result()).toBe('yes');
  });

  it('is refused by a stream', async () => {
    open(streams);
    const cause = await causeOf(await runtime.start(streams));
    expectError(cause, {
      code: 'value_not_serializable',
      says: /Cannot write a chunk.*"\.customers\[1\]\.notify".*Write plain objects/,
    });
  });

  it('inside an error that a step threw is left out, and the error kept', async () => {
    open(throws);
    const cause = await causeOf(await runtime.start(throws));
    expect(cause).toMatchObject({ name: 'FatalError', message: 'refused', status: 402 });
    expect(cause).not.toHaveProperty('socket');
  });
});

describe('a value that is too large', () => {
  const refusal = {
    code: 'value_too_large',
    says: /limit is 1048576.*Store the data elsewhere/,
    details: { limit: 1_048_576 },
  } as const;

  it('fails its step once', async () => {
    const definition = fails(huge);
    open(definition);
    const cause = await causeOf(await runtime.start(definition));
    expectError(cause, refusal);
    expect(calls).toBe(1);
  });

  it('is refused as the input of a run', async () => {
    open(echo);
    await expectRefusal(() => runtime.start(echo, { input: huge }), refusal);
  });

  it('fails the run whose result it is', async () => {
    open(returns);
    const run = await runtime.start(returns, { input: { big: true } });
    const cause = await causeOf(run);
    expectError(cause, {
      code: 'value_too_large',
      says: /limit is 4194304.*Store the data elsewhere/,
      details: { limit: 4_194_304 },
    });
  });

  it('is refused as the payload of a hook', async () => {
    open(ask);
    await runtime.until(await runtime.start(ask), 'waiting');
    await expectRefusal(() => runtime.resumeHook('ask', huge), refusal);
  });
});
