import { createHook, DurableError, shield, sleep, step, workflow } from 'everturn';
import type { Hook, Workflow } from 'everturn';
import { createTestRuntime } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { describe, expect, it, onTestFinished } from 'vitest';

function opened(...workflows: Array<Workflow<never>>): TestRuntime {
  const runtime = createTestRuntime({ workflows });
  onTestFinished(() => runtime.close());
  return runtime;
}

const outcomeOf = (hook: Hook<unknown>): Promise<unknown> =>
  Promise.resolve(
    hook.then(
      (value) => value,
      (error: unknown) => (DurableError.is(error) ? error.code : error),
    ),
  );

/** Collects until it is told to stop. */
const collect = workflow('collect', async () => {
  const stop = createHook({ token: 'stop' });
  const items = createHook<string>({ token: 'items', many: true });
  const taken: string[] = [];
  const collecting = (async () => {
    for await (const item of items) taken.push(await step(`take ${item}`, () => item));
  })();
  await stop;
  await items.dispose();
  await collecting;
  await createHook({ token: 'go on' });
  return { taken, after: await outcomeOf(items) };
});

describe('a hook that its code disposes of', () => {
  it('ends the iteration over its payloads, and refuses what comes later', async () => {
    const runtime = opened(collect);
    const run = await runtime.start(collect, { id: 'r1' });
    await runtime.until(run, 'waiting');
    await runtime.resumeHook('items', 'a');
    await runtime.resumeHook('items', 'b');
    await runtime.resumeHook('stop');
    await runtime.until(run, 'waiting');
    await expect(runtime.resumeHook('items', 'late')).rejects.toMatchObject({
      code: 'hook_closed',
      details: { run: 'r1' },
    });
    await runtime.resumeHook('go on');
    expect(await run.result()).toEqual({ taken: ['a', 'b'], after: 'hook_closed' });
  });

  it('is the same on replay', async () => {
    const runtime = opened(collect);
    const run = await runtime.start(collect);
    await runtime.until(run, 'waiting');
    await runtime.resumeHook('items', 'a');
    await runtime.until(run, 'waiting');
    await runtime.restart();
    await runtime.resumeHook('stop');
    await runtime.until(run, 'waiting');
    await runtime.restart();
    await runtime.resumeHook('go on');
    expect(await runtime.getRun(run.id).result()).toEqual({ taken: ['a'], after: 'hook_closed' });
  });

  it('is disposed of again by the next life, when the process dies before the commit', async () => {
    const runtime = opened(collect);
    const run = await runtime.start(collect);
    await runtime.until(run, 'waiting');
    // The message to "stop" is one commit, the closing the next.
    runtime.crashBeforeCommit(2);
    await runtime.resumeHook('stop');
    await runtime.crashed();
    await runtime.restart();
    await runtime.until(run, 'waiting');
    await expect(runtime.resumeHook('items', 'late')).rejects.toMatchObject({ code: 'hook_closed' });
    await runtime.resumeHook('go on');
    expect(await runtime.getRun(run.id).result()).toEqual({ taken: [], after: 'hook_closed' });
  });

  it('gives all that was accepted, whenever it came, and nothing else', async () => {
    const outcomes = new Set<boolean>();
    for (let n = 0; n < 60; n += 1) {
      const runtime = createTestRuntime({ workflows: [collect] });
      const run = await runtime.start(collect);
      await runtime.until(run, 'waiting');
      const stopped = runtime.resumeHook('stop');
      const accepted: string[] = [];
      for (let turns = n % 15; turns > 0; turns -= 1) await new Promise((resolve) => setImmediate(resolve));
      for (const item of ['a', 'b']) {
        await runtime.resumeHook('items', item).then(
          () => accepted.push(item),
          (error: unknown) => expect(error).toMatchObject({ code: 'hook_closed' }),
        );
      }
      await stopped;
      await runtime
        .resumeHook('go on')
        .catch(() => runtime.until(run, 'waiting').then(() => runtime.resumeHook('go on')));
      expect(await run.result()).toEqual({ taken: accepted, after: 'hook_closed' });
      outcomes.add(accepted.length > 0);
      await runtime.close();
    }
    expect(outcomes).toEqual(new Set([true, false]));
  });

  it('keeps a payload that was accepted and not awaited yet', async () => {
    const late = workflow('late', async () => {
      const hook = createHook({ token: 'one' });
      await createHook({ token: 'now' });
      await hook.dispose();
      return outcomeOf(hook);
    });
    const runtime = opened(late);
    const run = await runtime.start(late);
    await runtime.until(run, 'waiting');
    await runtime.resumeHook('one', 'kept');
    await runtime.resumeHook('now');
    expect(await run.result()).toBe('kept');
  });

  it('gives its token to another run', async () => {
    const holder = workflow('holder', async () => {
      {
        using hook = createHook({ token: 'shared', many: true });
        await Promise.race([hook, sleep('1 hour')]);
      }
      await createHook({ token: 'end' });
    });
    const heir = workflow('heir', async () => createHook<string>({ token: 'shared' }));
    const runtime = opened(holder, heir);
    const run = await runtime.start(holder);
    await runtime.clock.advance('1 hour');
    await runtime.until(run, 'waiting');
    await expect(runtime.resumeHook('shared', 'late')).rejects.toMatchObject({ code: 'hook_closed' });
    const next = await runtime.start(heir);
    await runtime.until(next, 'waiting');
    await runtime.resumeHook('shared', 'yours');
    expect(await next.result()).toBe('yours');
  });

  it('says nothing more when it has its one payload', async () => {
    const one = workflow('one', async () => {
      await using hook = createHook<string>({ token: 'one', expiresIn: '1 day' });
      return await hook;
    });
    const runtime = opened(one);
    const run = await runtime.start(one);
    await runtime.until(run, 'waiting');
    await runtime.resumeHook('one', 'it');
    expect(await run.result()).toBe('it');
    const types = (await run.events()).map(({ type }) => type);
    expect(types).not.toContain('hook_closed');
    expect(types).not.toContain('timer_fired');
  });

  it('leaves no timer of its expiry', async () => {
    const early = workflow('early', async () => {
      const hook = createHook({ token: 'one', expiresIn: '1 day' });
      await hook.dispose();
      await createHook({ token: 'end' });
    });
    const runtime = opened(early);
    const run = await runtime.start(early);
    await runtime.until(run, 'waiting');
    expect((await runtime.store.get(run.id))?.dueAt).toBeNull();
  });

  it('leaves nothing to look at when it goes out of scope', async () => {
    const scoped = workflow('scoped', async () => {
      {
        using hook = createHook({ token: 'many', many: true });
        await hook;
      }
      await createHook({ token: 'end' });
    });
    const runtime = opened(scoped);
    const run = await runtime.start(scoped);
    await runtime.until(run, 'waiting');
    await runtime.resumeHook('many', 'one');
    await runtime.until(run, 'waiting');
    expect((await runtime.store.get(run.id))?.dueAt).toBeNull();
  });

  it('does not stand in the way of a cancel', async () => {
    const cleaned: string[] = [];
    const stopped = workflow('stopped', async () => {
      using hook = createHook({ token: 'one' });
      try {
        await hook;
      } finally {
        await shield(() => step('clean up', () => void cleaned.push('yes')));
      }
    });
    const runtime = opened(stopped);
    const run = await runtime.start(stopped);
    await runtime.until(run, 'waiting');
    await run.cancel();
    await runtime.until(run, 'cancelled');
    expect(cleaned).toEqual(['yes']);
    expect(runtime.logs.filter(({ level }) => level === 'error')).toEqual([]);
  });

  it('cannot be disposed of inside a step', async () => {
    const wrong = workflow('wrong', async () => {
      const hook = createHook();
      return step('close', () => hook.dispose().catch((error: DurableError) => error.code));
    });
    const runtime = opened(wrong);
    expect(await (await runtime.start(wrong)).result()).toBe('inside_step');
  });
});
