import { createRuntime, DurableAgent, workflow } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { expectRefusal } from './refusal.ts';

const agent = new DurableAgent({ model: scriptedModel([]) });
const flow = workflow('flow', async (n: number) => n);

/** As a program without types writes it. */
type Loose = Record<string, unknown>;

describe('a runtime is not created', () => {
  it.each<[string, Loose, RegExp]>([
    ['without a store', { store: undefined }, /without a store\. Write createRuntime\(\{ store: sqliteStore/],
    ['with a path for a store', { store: 'app.db' }, /without a store/],
    [
      'with a function for a workflow',
      { workflows: [async () => 1] },
      /workflows\[0\]: it is neither .* workflow\("name"/,
    ],
    [
      'with a plain object for an agent',
      { agents: { support: {} } },
      /agents\.support: it is neither .* new DurableAgent/,
    ],
    ['with an agent that has no name', { agents: agent }, /agents that have no names\. .*agents: \{ support \}/],
    ['with a list of agents', { agents: [agent] }, /agents that have no names/],
    ['with a number for a version', { version: 2 }, /the version 2\. Write a text such as "2"/],
    ['with an empty version', { version: '' }, /the version ""/],
    ['with the version of those that follow the newest', { version: '*' }, /"\*" stands for any/],
    ['with a function for a logger', { logger: () => {} }, /a logger that has no "debug".*a pino logger fits/],
    ['with no room for runs', { worker: { concurrency: 0 } }, /worker\.concurrency 0\. .*worker: false/],
    ['with a text for a time', { worker: { leaseMs: '15s' } }, /worker\.leaseMs "15s"\. Write a number greater than 0/],
  ])('%s', (_, options, says) =>
    expectRefusal(() => createRuntime({ store: memoryStore(), ...options }), {
      code: 'invalid_argument',
      says,
    }),
  );

  it('with nothing', () =>
    expectRefusal(() => (createRuntime as unknown as () => unknown)(), {
      code: 'invalid_argument',
      says: /without a store/,
    }));
});

describe('a runtime refuses', () => {
  let runtime: TestRuntime;
  afterEach(() => runtime.close());

  it.each<[string, (runtime: Loose & TestRuntime) => unknown, RegExp]>([
    [
      'attributes that are none',
      (it) => it.start('flow', { input: 1, attributes: null } as never),
      /attributes is no object/,
    ],
    [
      'one status for a list of them',
      (it) => it.list({ status: 'running' } as never),
      /it is a list, such as \["waiting"/,
    ],
    [
      'a status that approvals do not have',
      (it) => it.approvals.list({ status: 'open' } as never),
      /"open": write "pending"/,
    ],
    [
      'to resume no hook',
      (it) => it.resumeHook(undefined as never),
      /without its token: write resumeHook\(hook\.token/,
    ],
    ['to remove runs of any age', (it) => it.gc({} as never), /without their age: write gc\(\{ olderThanMs/],
  ])('%s', async (_, call, says) => {
    runtime = createTestRuntime({ workflows: [flow] });
    await expectRefusal(() => call(runtime as Loose & TestRuntime), { code: 'invalid_argument', says });
    expect(await runtime.runs()).toEqual([]);
  });
});
