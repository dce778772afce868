import { createHook, createRuntime, DurableAgent, step, workflow } from 'everturn';
import type { RuntimeOptions } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { caught, expectError, expectRefusal } from './refusal.ts';

let runtime: TestRuntime | undefined;
afterEach(async () => {
  await runtime?.close();
  runtime = undefined;
});

describe('two definitions of one name', () => {
  const refusal = { code: 'duplicate_name', says: /"ship" twice.*Rename one/, details: { name: 'ship' } } as const;
  const ship = () => workflow('ship', async () => 1);

  it.each<[string, Partial<RuntimeOptions>]>([
    ['two workflows', { workflows: [ship(), ship()] }],
    [
      'an agent and a workflow',
      { agents: { ship: new DurableAgent({ model: scriptedModel([]) }) }, workflows: [ship()] },
    ],
  ])('%s are refused when the runtime is created', (_, options) =>
    expectRefusal(() => createRuntime({ store: memoryStore(), ...options }), refusal),
  );
});

it('an option of createRuntime that there is not is refused by its name', () =>
  expectRefusal(() => createRuntime({ store: memoryStore(), workflow: [] } as RuntimeOptions), {
    code: 'invalid_argument',
    says: /option "workflow".*workflows/,
  }));

describe('one explicit key', () => {
  it('twice at once: the second step is refused, and not tried again', async () => {
    const charged: string[] = [];
    const pay = workflow('pay', () =>
      Promise.all(
        ['ada', 'bob'].map((who) =>
          step('charge', () => void charged.push(who), { key: 'charge' }).catch((error: unknown) => error),
        ),
      ),
    );
    runtime = createTestRuntime({ workflows: [pay] });
    const run = await runtime.start(pay, { id: 'r1' });
    const [, error] = await run.result();
    expectError(error, {
      code: 'duplicate_key',
      says: /"key:charge" in run "r1".*add what tells the two apart/,
      details: { key: 'key:charge' },
    });
    expect(charged).toEqual(['ada']);
  });

  it('one after the other is one step: the second call gets the record', async () => {
    let calls = 0;
    const count = workflow('count', async () => [
      await step('count', () => (calls += 1), { key: 'once' }),
      await step('count', () => (calls += 1), { key: 'once' }),
    ]);
    runtime = createTestRuntime({ workflows: [count] });
    expect(await (await runtime.start(count)).result()).toEqual([1, 1]);
  });
});

describe('one id', () => {
  const ask = workflow('ask', async (question: string) => [question, await createHook({ token: question })]);

  it('with the same input is the same run; with another input it is refused', async () => {
    runtime = createTestRuntime({ workflows: [ask] });
    const first = await runtime.start(ask, { id: 'r1', input: 'a' });
    expect((await runtime.start(ask, { id: 'r1', input: 'a' })).id).toBe(first.id);
    await expectRefusal(() => runtime?.start(ask, { id: 'r1', input: 'b' }), {
      code: 'run_conflict',
      says: /run "r1".*another workflow or input.*Use another id/,
      details: { run: 'r1', workflow: 'ask' },
    });
    expect(await runtime.runs()).toHaveLength(1);
  });

  it('of a thread that is busy: the error names the run and the choices', async () => {
    runtime = createTestRuntime({ workflows: [ask] });
    await runtime.until(await runtime.start(ask, { id: 'r1', thread: 't1', input: 'a' }), 'waiting');
    const error = await caught(() => runtime?.start(ask, { id: 'r2', thread: 't1', input: 'b' }));
    expectError(error, {
      code: 'thread_busy',
      says: /thread "t1".*"r1" is waiting.*"queue", "steer" or "interrupt"/,
      details: { thread: 't1', active: 'r1', status: 'waiting' },
    });
    expect(error.retryable).toBe(true);
  });
});

describe('what is not what it should be', () => {
  const noop = workflow('noop', async () => 1);
  const cases: Array<[string, () => unknown, RegExp]> = [
    ['a runtime without a store', () => createRuntime({} as never), /store: sqliteStore\("app\.db"\)/],
    ['a workflow without a name', () => workflow('', async () => 1), /workflow\("name", async \(input\)/],
    ['a workflow without a function', () => workflow('w', undefined as never), /workflow\("name", async \(input\)/],
    ['a step without a name', () => step('', () => 1), /step\("name", async \(\) =>/],
    [
      'a text in place of the options of a start',
      () => runtime?.start(noop, 'hi' as never),
      /start\(workflow, \{ input \}\)/,
    ],
    ['an empty id', () => runtime?.start(noop, { id: '' }), /"id" is not a string.*Leave id out/],
    [
      'an unknown whenBusy',
      () => runtime?.start(noop, { whenBusy: 'wait' as never }),
      /"wait".*reject, queue, steer, interrupt/,
    ],
    [
      'an attribute that is no text',
      () => runtime?.start(noop, { attributes: { n: 1 as never } }),
      /"n" is not a string/,
    ],
  ];

  it.each(cases)('%s is refused with the right form', async (_, attempt, says) => {
    runtime = createTestRuntime({ workflows: [noop] });
    await expectRefusal(attempt, { code: 'invalid_argument', says });
    expect(await runtime.runs()).toEqual([]);
  });

  it('a run that is not parked cannot be resumed: the error says what it is', async () => {
    runtime = createTestRuntime({ workflows: [noop] });
    const run = await runtime.start(noop, { id: 'r1' });
    await run.result();
    await expectRefusal(() => runtime?.resume('r1'), {
      code: 'invalid_argument',
      says: /"r1": it is completed, not parked.*resumeHook\(token\)/,
      details: { run: 'r1', status: 'completed' },
    });
  });

  it('a runtime that was closed is refused, and says what to do', async () => {
    const closed = createRuntime({ store: memoryStore(), workflows: [noop] });
    await closed.close();
    await expectRefusal(() => closed.start(noop), { code: 'runtime_closed', says: /was closed.*createRuntime/ });
    await expectRefusal(() => closed.resumeHook('t'), { code: 'runtime_closed', says: /createRuntime/ });
  });
});

it('a run that failed names its error, and has it as its cause', async () => {
  const bad = workflow('bad', () => step('s', () => Promise.reject(new Error('boom')), { retries: 0 }));
  runtime = createTestRuntime({ workflows: [bad] });
  const run = await runtime.start(bad, { id: 'r1' });
  const error = await caught(() => run.result());
  expectError(error, { code: 'run_failed', says: /run "r1" failed: boom/, details: { run: 'r1', status: 'failed' } });
  expect(error.cause).toMatchObject({ message: 'boom' });
});
