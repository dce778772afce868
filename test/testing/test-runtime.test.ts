import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHook, FatalError, getStepMetadata, sleep, step, workflow } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { createTestRuntime, manualClock } from 'everturn/testing';
import type { TestRuntime, TestRuntimeOptions } from 'everturn/testing';
import { afterEach, describe, expect, it } from 'vitest';

let runtime: TestRuntime;
afterEach(() => runtime.close());

function open(options: TestRuntimeOptions): TestRuntime {
  runtime = createTestRuntime(options);
  return runtime;
}

describe('time in a test runtime', () => {
  it('stands: a sleep of days ends when the clock is advanced, in no time', async () => {
    const remind = workflow('remind', async () => {
      await sleep('2 days');
      await sleep('1 hour');
      return 'now';
    });
    const { clock } = open({ workflows: [remind] });
    const run = await runtime.start(remind);
    const startedAt = performance.now();
    await runtime.until(run, 'waiting');
    await clock.advance('49 hours');
    expect(await run.result()).toBe('now');
    expect(performance.now() - startedAt).toBeLessThan(100);
  });

  it('is not passed over: the second sleep begins when the first one ends', async () => {
    const woken: number[] = [];
    const twice = workflow('twice', async () => {
      await sleep('2 days');
      await step('first', () => void woken.push(runtime.clock.now()));
      await sleep('2 days');
      await step('second', () => void woken.push(runtime.clock.now()));
    });
    const { clock } = open({ workflows: [twice] });
    const begun = clock.now();
    const run = await runtime.start(twice);
    await clock.advance('30 days');
    await run.result();
    expect(woken.map((at) => (at - begun) / 86_400_000)).toEqual([2, 4]);
  });

  it('moves retries on: a step that fails twice is tried when its delays are over', async () => {
    let calls = 0;
    const flaky = workflow('flaky', () =>
      step('call', () => {
        calls += 1;
        if (calls < 3) throw new Error('not yet');
        return calls;
      }),
    );
    open({ workflows: [flaky] });
    const run = await runtime.start(flaky);
    await runtime.clock.advance('1 minute');
    expect(await run.result()).toBe(3);
    expect(runtime.logs.filter((line) => line.code === 'step_failed' && line.level === 'warn')).toHaveLength(2);
  });
});

describe('a test runtime that dies', () => {
  const effects: string[] = [];
  const order = workflow('order', async () => {
    const paid = await step('charge', () => (effects.push(`charge ${getStepMetadata().attempt}`), 'paid'));
    const sent = await step('ship', () => (effects.push(`ship ${getStepMetadata().attempt}`), 'sent'));
    return [paid, sent];
  });
  afterEach(() => void effects.splice(0));

  it('after a commit, goes on with what the commit recorded', async () => {
    open({ workflows: [order] });
    runtime.crashAfterCommit(1);
    const run = await runtime.start(order);
    await runtime.crashed();
    expect(effects).toEqual(['charge 1']);
    expect((await run.events()).map((event) => event.key)).toEqual(['charge']);
    await runtime.restart();
    expect(await run.result()).toEqual(['paid', 'sent']);
    expect(effects).toEqual(['charge 1', 'ship 2']);
  });

  it('before a commit, does again what was not recorded, under the next attempt', async () => {
    open({ workflows: [order] });
    runtime.crashBeforeCommit(1);
    const run = await runtime.start(order);
    await runtime.crashed();
    expect(await run.events()).toEqual([]);
    await runtime.restart();
    expect(await run.result()).toEqual(['paid', 'sent']);
    expect(effects).toEqual(['charge 1', 'charge 2', 'ship 1']);
  });

  it.each(['after', 'before'] as const)(
    '%s each of its commits in turn, always ends with the same result',
    async (when) => {
      open({ workflows: [order] });
      for (let n = 1; ; n += 1) {
        if (when === 'after') runtime.crashAfterCommit(n);
        else runtime.crashBeforeCommit(n);
        const run = await runtime.start(order);
        const crashed = await Promise.race([runtime.crashed().then(() => true), run.result().then(() => false)]);
        await runtime.restart();
        expect(await run.result()).toEqual(['paid', 'sent']);
        if (!crashed) break;
        expect(n).toBeLessThan(10);
      }
      expect(effects.filter((effect) => effect.startsWith('charge')).length).toBeGreaterThan(2);
    },
  );

  it('takes nothing with it that waits: the run goes on after a restart', async () => {
    let token = '';
    const ask = workflow('ask', async () => {
      const hook = createHook<string>();
      token = hook.token;
      return hook;
    });
    open({ workflows: [ask] });
    const run = await runtime.start(ask);
    await runtime.until(run, 'waiting');
    await runtime.restart();
    await runtime.resumeHook(token, 'yes');
    expect(await run.result()).toBe('yes');
  });

  it('tells who calls it that a restart is missing', async () => {
    open({ workflows: [order], patienceMs: 50 });
    runtime.crashBeforeCommit(1);
    const run = await runtime.start(order);
    await runtime.crashed();
    await expect(runtime.start(order)).rejects.toThrow(/restart\(\)/);
    await expect(runtime.until(run, 'cancelled')).rejects.toThrow(/restart\(\)/);
  });

  it('on a SQLite file, goes on from the file', async () => {
    const clock = manualClock();
    const path = join(mkdtempSync(join(tmpdir(), 'everturn-testing-')), 'runs.db');
    open({ workflows: [order], clock, store: sqliteStore({ path, clock, watchMs: 0 }) });
    runtime.crashAfterCommit(1);
    const run = await runtime.start(order);
    await runtime.crashed();
    await runtime.restart();
    expect(await run.result()).toEqual(['paid', 'sent']);
    expect(effects).toEqual(['charge 1', 'ship 2']);
  });
});

describe('what a test runtime says', () => {
  it('names the status, the timer and the hook of a run that does not end', async () => {
    const stuck = workflow('stuck', async () => {
      await Promise.all([sleep(5_000), createHook({ token: 'the-order' })]);
    });
    open({ workflows: [stuck], patienceMs: 50 });
    const run = await runtime.start(stuck, { id: 'r1' });
    await expect(run.result()).rejects.toThrow(/"r1"[^]*waiting[^]*clock\.advance\(5000\)[^]*hook:[\da-f]{16}/);
  });

  it('names the error of a run that ended otherwise', async () => {
    const bad = workflow('bad', () => step('boom', () => Promise.reject(new FatalError('no stock'))));
    open({ workflows: [bad] });
    const run = await runtime.start(bad);
    await expect(runtime.until(run, 'completed')).rejects.toThrow(/failed[^]*no stock/);
  });

  it('names the runs when an awaited crash does not come', async () => {
    const short = workflow('short', async () => 1);
    open({ workflows: [short], patienceMs: 50 });
    runtime.crashAfterCommit(9);
    await runtime.start(short, { id: 'r1' });
    await expect(runtime.crashed()).rejects.toThrow(/1 commits.*"r1" is completed/);
  });

  it('is all in its runs and its logs', async () => {
    const one = workflow('one', async () => 1);
    open({ workflows: [one] });
    await (await runtime.start(one, { id: 'a' })).result();
    await (await runtime.start(one, { id: 'b' })).result();
    expect((await runtime.runs()).map((run) => [run.id, run.status])).toEqual([
      ['a', 'completed'],
      ['b', 'completed'],
    ]);
    expect(runtime.logs.filter((line) => line.level === 'error')).toEqual([]);
  });
});

describe('a redeploy', () => {
  it('restarts with other code', async () => {
    const first = workflow('deploy', async () => {
      await createHook({ token: 'deploy' });
      return 'old';
    });
    const second = workflow('deploy', async () => {
      await createHook({ token: 'deploy' });
      return 'new';
    });
    open({ workflows: [first] });
    const run = await runtime.start(first);
    await runtime.until(run, 'waiting');
    await runtime.restart({ workflows: [second] });
    await runtime.resumeHook('deploy');
    expect(await run.result()).toBe('new');
  });
});
