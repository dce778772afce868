import { createRuntime, createHook, FatalError, sleep, step, workflow } from 'everturn';
import type { Runtime } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { afterEach, describe, expect, it } from 'vitest';

const runtimes: Runtime[] = [];
afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close({ graceMs: 100 })));
});

function open(options: Parameters<typeof createRuntime>[0]): Runtime {
  const runtime = createRuntime(options);
  runtimes.push(runtime);
  return runtime;
}

describe('a workflow', () => {
  it('answers its result, with each step body run once', async () => {
    const calls: string[] = [];
    const add = workflow('add', async (input: { a: number; b: number }) => {
      const a = await step('first', () => (calls.push('first'), input.a));
      const b = await step('second', () => (calls.push('second'), input.b));
      return a + b;
    });
    const runtime = open({ store: memoryStore(), workflows: [add] });
    const run = await runtime.start(add, { input: { a: 1, b: 2 } });
    expect(await run.result()).toBe(3);
    expect(calls).toEqual(['first', 'second']);
    expect((await run.events()).map((event) => event.type)).toEqual([
      'step_completed',
      'step_completed',
      'run_completed',
    ]);
  });

  it('sleeps, waits for a hook and goes on', async () => {
    let token = '';
    const ask = workflow('ask', async () => {
      await sleep(20);
      const hook = createHook<{ ok: boolean }>();
      token = hook.token;
      return (await hook).ok;
    });
    const runtime = open({ store: memoryStore(), workflows: [ask] });
    const run = await runtime.start(ask);
    await expect.poll(() => run.status).toBe('waiting');
    await expect.poll(() => token).not.toBe('');
    await runtime.resumeHook(token, { ok: true });
    expect(await run.result()).toBe(true);
  });

  it('fails with what a step threw', async () => {
    const bad = workflow('bad', () => step('boom', () => Promise.reject(new FatalError('no')), { retries: 5 }));
    const runtime = open({ store: memoryStore(), workflows: [bad] });
    const run = await runtime.start(bad);
    await expect(run.result()).rejects.toMatchObject({ code: 'run_failed', cause: { message: 'no' } });
  });
});
