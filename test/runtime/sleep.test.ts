import { createHook, DurableError, sleep, step, workflow } from 'everturn';
import type { Hook } from 'everturn';
import { createTestRuntime } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { describe, expect, it, onTestFinished } from 'vitest';

/** Waits for an answer or a day, whichever is first, then for a second answer without end. */
const impatient = workflow('impatient', async () => {
  const first = await answerOrDay(createHook<string>({ token: 'first' }));
  await step(`after ${first}`, () => first);
  const second = await createHook<string>({ token: 'second' });
  return { first, second };
});

async function answerOrDay(hook: Hook<string>): Promise<string> {
  const controller = new AbortController();
  const day = sleep('1 day', { signal: controller.signal }).then(() => 'nobody');
  const answer = await Promise.race([hook, day]);
  controller.abort();
  return answer;
}

function opened(): TestRuntime {
  const runtime = createTestRuntime({ workflows: [impatient] });
  onTestFinished(() => runtime.close());
  return runtime;
}

describe('a sleep that is taken back', () => {
  it('leaves no timer behind: the run waits for its hook alone', async () => {
    const runtime = opened();
    const run = await runtime.start(impatient);
    await runtime.until(run, 'waiting');
    expect((await runtime.store.get(run.id))?.dueAt).not.toBeNull();
    await runtime.resumeHook('first', 'Ada');
    await runtime.until(run, 'waiting');
    await runtime.clock.advance(60 * 60_000);
    await runtime.until(run, 'waiting');
    expect((await runtime.store.get(run.id))?.dueAt).toBeNull();
    await runtime.resumeHook('second', 'Bob');
    expect(await run.result()).toEqual({ first: 'Ada', second: 'Bob' });
  });

  it('is the same in a process that replays it, also when it would have been due meanwhile', async () => {
    const runtime = opened();
    const run = await runtime.start(impatient);
    await runtime.until(run, 'waiting');
    await runtime.resumeHook('first', 'Ada');
    await runtime.until(run, 'waiting');
    await runtime.restart();
    await runtime.clock.advance(3 * 24 * 60 * 60_000);
    await runtime.resumeHook('second', 'Bob');
    expect(await runtime.getRun(run.id).result()).toEqual({ first: 'Ada', second: 'Bob' });
  });

  it('goes on with the time where nobody answers, and takes the late answer as too late', async () => {
    const runtime = opened();
    const run = await runtime.start(impatient);
    await runtime.until(run, 'waiting');
    await runtime.clock.advance(24 * 60 * 60_000);
    await runtime.until(run, 'waiting');
    await runtime.resumeHook('first', 'late');
    await runtime.resumeHook('second', 'Bob');
    expect(await run.result()).toEqual({ first: 'nobody', second: 'Bob' });
  });

  it('is the same after a crash before and after each commit', async () => {
    for (const crash of ['crashBeforeCommit', 'crashAfterCommit'] as const) {
      for (let n = 1; n <= 5; n += 1) {
        const runtime = createTestRuntime({ workflows: [impatient] });
        runtime[crash](n);
        await runtime.start(impatient, { id: 'run' }).catch(() => runtime.restart());
        for (const [token, answer] of [
          ['first', 'Ada'],
          ['second', 'Bob'],
        ] as const) {
          await answered(runtime, { token, answer });
        }
        const result = runtime.getRun('run').result();
        const ended = await result.catch(async () => {
          await runtime.restart();
          return runtime.getRun('run').result();
        });
        expect(ended, `${crash} ${n}`).toEqual({ first: 'Ada', second: 'Bob' });
        await runtime.close();
      }
    }
  });

  it('rejects with the reason of the signal, in a run and outside', async () => {
    const flow = workflow('flow', async () => {
      const reason = new Error('not needed');
      const taken = await sleep('1 day', { signal: AbortSignal.abort(reason) }).catch((error: unknown) => error);
      return taken === reason;
    });
    const runtime = createTestRuntime({ workflows: [flow] });
    onTestFinished(() => runtime.close());
    expect(await (await runtime.start(flow)).result()).toBe(true);
    const controller = new AbortController();
    const outside = sleep('1 day', { signal: controller.signal });
    controller.abort(new Error('left'));
    await expect(outside).rejects.toThrow('left');
    await expect(sleep(1, { signal: AbortSignal.abort(new Error('gone')) })).rejects.toThrow('gone');
  });
});

/** Brings an answer, whatever dies meanwhile. */
async function answered(runtime: TestRuntime, { token, answer }: { token: string; answer: string }): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      await runtime.resumeHook(token, answer, { id: token });
      return;
    } catch (error) {
      if (tries > 20) throw error;
      if (!DurableError.is(error, 'hook_not_found')) await runtime.restart();
      await runtime.clock.advance(1_000);
    }
  }
}
