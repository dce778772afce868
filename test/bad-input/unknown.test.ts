import { child, DurableAgent, workflow } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { caught, causeOf, expectError, expectRefusal } from './refusal.ts';

const agent = new DurableAgent({ model: scriptedModel([]) });
const greet = workflow('greet', async () => 'hello');
const delegate = workflow('delegate', () => child('nobody', null));

let runtime: TestRuntime;
beforeEach(() => {
  runtime = createTestRuntime({ agents: { support: agent }, workflows: [greet, delegate] });
});
afterEach(() => runtime.close());

describe('what is not registered', () => {
  it('by name: the error lists the names that are', () =>
    expectRefusal(() => runtime.start('gret', { input: 1 }), {
      code: 'workflow_not_found',
      says: /Cannot find "gret".*Pass it to createRuntime.*"support", "greet", "delegate"/,
      details: { known: ['support', 'greet', 'delegate'] },
    }));

  it('an agent: the error says where agents are registered', () =>
    expectRefusal(() => runtime.start(new DurableAgent({ model: scriptedModel([]) }), { prompt: 'hi' }), {
      code: 'workflow_not_found',
      says: /this workflow or agent.*createRuntime\(\{ agents, workflows \}\)/,
    }));

  it('as a child: the parent fails with the same error', async () => {
    const run = await runtime.start(delegate);
    const cause = await causeOf(run);
    expectError(cause, { code: 'workflow_not_found', says: /registered are: "support"/ });
  });
});

describe('a run that is not there', () => {
  const unknown = { code: 'run_not_found', says: /no run "run_0".*Check the id/, details: { run: 'run_0' } } as const;

  it.each<[string, () => unknown]>([
    ['status', () => runtime.getRun('run_0').status],
    ['info', () => runtime.getRun('run_0').info()],
    ['result', () => runtime.getRun('run_0').result()],
    ['events', () => runtime.getRun('run_0').events()],
    ['cancel', () => runtime.getRun('run_0').cancel()],
    ['resume', () => runtime.resume('run_0')],
  ])('is named by %s', (_, attempt) => expectRefusal(attempt, unknown));

  it('is named by its stream', () =>
    expectRefusal(() => runtime.getRun('run_0').stream().getReader().read(), { ...unknown, says: /run_0/ }));
});

it('a thread that is not there: the error says how threads begin', () =>
  expectRefusal(() => runtime.thread('t0'), {
    code: 'thread_not_found',
    says: /no thread "t0".*runtime\.start\(agent, \{ thread: "t0"/,
    details: { thread: 't0' },
  }));

describe('a hook that is not there', () => {
  it('has an unknown token: the error does not repeat it', async () => {
    const error = await caught(() => runtime.resumeHook('guessed-token', {}));
    expectError(error, { code: 'hook_not_found', says: /no hook with this token.*Check the token/ });
    expect(error.message).not.toContain('guessed-token');
  });

  it('has an unknown tool call', async () => {
    const run = await runtime.start(greet);
    await expectRefusal(() => runtime.addToolOutput(run.id, { toolCallId: 'call_0', output: 1 }), {
      code: 'hook_not_found',
      says: /"call_0".*Check both ids/,
      details: { run: run.id, toolCallId: 'call_0' },
    });
  });
});

it.each<[string, () => unknown]>([
  ['get', () => runtime.approvals.get('apr_0')],
  ['approve', () => runtime.approvals.approve('apr_0', { by: 'ada' })],
  ['deny', () => runtime.approvals.deny('apr_0', { by: 'ada' })],
])('an approval that is not there: %s says where to look', (_, attempt) =>
  expectRefusal(attempt, {
    code: 'approval_not_found',
    says: /no approval "apr_0".*approvals\.list\(\)/,
    details: { id: 'apr_0' },
  }),
);
