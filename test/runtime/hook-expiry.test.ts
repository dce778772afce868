import { createHook, DurableError, sleep, step, workflow } from 'everturn';
import { createTestRuntime } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';

const DAY = 24 * 60 * 60_000;

/** Asks with a hook that is open for a day, and says what came of it. */
const asking = workflow('asking', async () => {
  const hook = createHook({ token: 'ask', expiresIn: '1 day', schema: z.string() });
  const answer = await hook.then(
    (value) => value,
    (error: unknown) => (DurableError.is(error) ? error.code : String(error)),
  );
  await step(`after ${answer}`, () => answer);
  await createHook({ token: 'go on' });
  return answer;
});

function opened(options: Parameters<typeof createTestRuntime>[0] = { workflows: [asking] }): TestRuntime {
  const runtime = createTestRuntime(options);
  onTestFinished(() => runtime.close());
  return runtime;
}

describe('a hook that expires', () => {
  it('rejects where it is awaited, and refuses what comes later', async () => {
    const runtime = opened();
    const run = await runtime.start(asking);
    await runtime.until(run, 'waiting');
    await runtime.clock.advance(DAY);
    await expect(runtime.resumeHook('ask', 'late')).rejects.toMatchObject({ code: 'hook_closed' });
    await runtime.until(run, 'waiting');
    await runtime.resumeHook('go on');
    expect(await run.result()).toBe('hook_expired');
  });

  it('takes an answer before its time, and then no timer is left of it', async () => {
    const runtime = opened();
    const run = await runtime.start(asking);
    await runtime.until(run, 'waiting');
    await runtime.clock.advance(DAY - 1);
    await runtime.resumeHook('ask', 'yes');
    await runtime.until(run, 'waiting');
    await runtime.clock.advance(60 * 60_000);
    expect((await runtime.store.get(run.id))?.dueAt).toBeNull();
    await runtime.resumeHook('go on');
    expect(await run.result()).toBe('yes');
  });

  it('expires while no process lives, and is the same on replay', async () => {
    const runtime = opened();
    const run = await runtime.start(asking);
    await runtime.until(run, 'waiting');
    await runtime.clock.advance(2 * DAY);
    await runtime.until(run, 'waiting');
    await runtime.restart();
    await runtime.clock.advance(DAY);
    await runtime.resumeHook('go on');
    expect(await runtime.getRun(run.id).result()).toBe('hook_expired');
  });

  it('is not kept open by an answer that its run refused', async () => {
    const runtime = opened();
    const run = await runtime.start(asking);
    await runtime.until(run, 'waiting');
    // Another process does not have the schema in its memory: it takes the payload, and the run refuses it.
    await runtime.restart();
    await runtime.resumeHook('ask', 7);
    await runtime.until(run.id, 'waiting');
    expect(runtime.logs.map(({ message }) => message)).toContain('a payload was refused');
    await runtime.clock.advance(DAY);
    await runtime.until(run, 'waiting');
    await runtime.resumeHook('go on');
    expect(await runtime.getRun(run.id).result()).toBe('hook_expired');
  });

  it('has its answer or is expired, never both, when both come at once', async () => {
    const outcomes = new Set<string>();
    for (let n = 0; n < 100; n += 1) {
      const runtime = createTestRuntime({ workflows: [asking] });
      const run = await runtime.start(asking);
      await runtime.until(run, 'waiting');
      await runtime.clock.advance(DAY - 1);
      const passed = runtime.clock.advance(1);
      for (let turns = n % 20; turns > 0; turns -= 1) await new Promise((resolve) => setImmediate(resolve));
      const taken = await runtime.resumeHook('ask', 'yes').then(
        () => 'yes',
        (error: DurableError) => error.code,
      );
      await passed;
      await runtime.until(run, 'waiting');
      await runtime.resumeHook('go on');
      expect([await run.result(), taken]).toEqual(taken === 'yes' ? ['yes', 'yes'] : ['hook_expired', 'hook_closed']);
      outcomes.add(taken);
      await runtime.close();
    }
    expect(outcomes).toEqual(new Set(['yes', 'hook_closed']));
  });

  it('may be awaited after its time', async () => {
    const late = workflow('late', async () => {
      const hook = createHook({ token: 'ask', expiresIn: 1_000 });
      await sleep(5_000);
      return hook.then(String, (error: unknown) => (DurableError.is(error) ? error.code : 'other'));
    });
    const runtime = opened({ workflows: [late] });
    const run = await runtime.start(late);
    await runtime.clock.advance(5_000);
    expect(await run.result()).toBe('hook_expired');
  });

  it('refuses to be one that takes many', async () => {
    const many = workflow('many', async () => void createHook({ many: true, expiresIn: 1 }));
    const runtime = opened({ workflows: [many] });
    const run = await runtime.start(many);
    await expect(run.result()).rejects.toThrow('Race its next payload with sleep()');
  });
});
