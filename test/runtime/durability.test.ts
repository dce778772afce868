import {
  child,
  createHook,
  DurableError,
  getStepMetadata,
  randomUUID,
  RetryableError,
  shield,
  sleep,
  step,
  workflow,
} from 'everturn';
import { describe, expect, it } from 'vitest';
import { processes } from './support.ts';

const LEASE = 15_000;

describe('a run whose process died', () => {
  it('goes on in another process, with recorded steps answered from the journal', async () => {
    const { clock, open, settle, logs } = processes();
    const calls: string[] = [];
    const attempts: number[] = [];
    let hang = true;
    const flow = workflow('flow', async () => {
      const a = await step('a', () => (calls.push('a'), 1));
      const b = await step('b', async () => {
        calls.push('b');
        attempts.push(getStepMetadata().attempt);
        if (hang) await new Promise(() => {});
        return 2;
      });
      return [a, b];
    });
    const first = open({ workflows: [flow] });
    const { id } = await first.start(flow);
    await settle();
    first.kill();
    hang = false;
    const second = open({ workflows: [flow] });
    await clock.advance(LEASE + 1_000);
    expect(await second.getRun(id).result()).toEqual([1, 2]);
    expect(calls).toEqual(['a', 'b', 'b']);
    expect(attempts).toEqual([1, 2]);
    expect(logs.some((line) => line.message.includes('taken over'))).toBe(true);
  });

  it('is the same after a kill before and after each of its commits', async () => {
    const flow = workflow('flow', async () => {
      const ids = [randomUUID()];
      const [a, b] = await Promise.all([step('a', () => 1), step('b', () => 2), step('c', () => 3)]);
      await sleep('1 minute');
      ids.push(randomUUID());
      const hook = createHook<number>({ token: 'the-token' });
      const d = await hook;
      return { sum: a + b + d, ids: ids.length, again: await step('ids', () => ids) };
    });
    for (const fate of ['die before', 'die after'] as const) {
      for (let k = 1; k <= 8; k += 1) {
        const { clock, open } = processes();
        const first = open({ workflows: [flow] }, (n) => (n === k ? fate : 'go'));
        await first.start(flow, { id: 'run' });
        await clock.advance(60_000);
        const second = open({ workflows: [flow] });
        await clock.advance(90_000);
        await second.resumeHook('the-token', 4);
        await clock.advance(60_000);
        const result = await second.getRun<{ sum: number; again: string[] }>('run').result();
        expect(result, `${fate} ${k}`).toMatchObject({
          sum: 7,
          ids: 2,
          again: [expect.any(String), expect.any(String)],
        });
      }
    }
  });
});

describe('a step', () => {
  it('is retried with backoff, and a long delay is durable', async () => {
    const { clock, open, settle } = processes();
    const attempts: number[] = [];
    const flow = workflow('flow', () =>
      step('call', () => {
        attempts.push(getStepMetadata().attempt);
        if (attempts.length < 3) throw new RetryableError('busy', { retryAfter: '1h' });
        return 'done';
      }),
    );
    const first = open({ workflows: [flow] });
    const run = await first.start(flow);
    await settle();
    expect(await run.status).toBe('waiting');
    first.kill();
    const second = open({ workflows: [flow] });
    await clock.advance(3_600_000);
    await clock.advance(3_600_000);
    expect(await second.getRun(run.id).result()).toBe('done');
    expect(attempts).toEqual([1, 2, 3]);
  });

  it('that times out is tried again', async () => {
    const { clock, open } = processes();
    let calls = 0;
    const flow = workflow('flow', () =>
      step('slow', () => ((calls += 1) < 2 ? new Promise(() => {}) : 'ok'), { timeout: '5s' }),
    );
    const runtime = open({ workflows: [flow] });
    const run = await runtime.start(flow);
    await clock.advance(5_000);
    await clock.advance(1_000);
    expect(await run.result()).toBe('ok');
  });
});

describe('cancel', () => {
  it('rejects durable awaits, lets shielded ones go on, and cancels children', async () => {
    const { open, settle, clock } = processes();
    const seen: string[] = [];
    const kid = workflow('kid', () => sleep('10 days'));
    const flow = workflow('flow', async () => {
      try {
        await child(kid, undefined, { id: 'kid' });
      } catch (error) {
        seen.push(DurableError.is(error) ? error.code : String(error));
        await shield(async () => {
          await sleep(1_000);
          await step('clean', () => seen.push('clean'));
        });
        await step('never', () => seen.push('never'));
      }
    });
    const runtime = open({ workflows: [flow, kid] });
    const run = await runtime.start(flow, { id: 'run' });
    await settle();
    await run.cancel();
    await settle();
    await clock.advance(1_000);
    await settle();
    await expect(run.result()).rejects.toMatchObject({ code: 'cancelled' });
    expect(seen).toEqual(['cancelled', 'clean']);
    expect(await runtime.getRun('kid').status).toBe('cancelled');
  });
});

describe('children', () => {
  it('answer results and errors to their parent, across a kill', async () => {
    const { open, clock, settle } = processes();
    const kid = workflow('kid', async (n: number) => {
      await sleep(1_000);
      if (n < 0) throw new Error('negative');
      return n * 2;
    });
    const flow = workflow('flow', async () => {
      const good = await child<number, number>(kid, 4);
      const bad = await child(kid, -1).catch((error: Error) => error.message);
      return { good, bad };
    });
    const first = open({ workflows: [flow, kid] });
    const run = await first.start(flow);
    await settle();
    first.kill();
    const second = open({ workflows: [flow, kid] });
    await clock.advance(LEASE + 1_000);
    await clock.advance(5_000);
    expect(await second.getRun(run.id).result()).toEqual({ good: 8, bad: 'negative' });
  });
});

describe('a run that cannot go on', () => {
  it('is parked on divergence, both sides shown, and goes on after a fix', async () => {
    const { open, settle, clock } = processes();
    const token = 'go';
    const old = workflow('flow', async () => {
      await step('old', () => 1);
      await createHook({ token });
      return 'old';
    });
    const changed = workflow('flow', async () => {
      await step('new', () => 1);
      await createHook({ token });
      return 'new';
    });
    const first = open({ workflows: [old] });
    const run = await first.start(old);
    await settle();
    first.kill();
    const second = open({ workflows: [changed] });
    await second.resumeHook(token, 1);
    await clock.advance(5_000);
    await expect(second.getRun(run.id).result()).rejects.toMatchObject({
      code: 'run_parked',
      details: { parked: { code: 'divergence', key: 'old', recorded: 'step_completed' } },
    });
    second.kill();
    const third = open({ workflows: [old] });
    await third.resume(run.id);
    await settle();
    expect(await third.getRun(run.id).result()).toBe('old');
  });

  it('is parked after five claims without progress, with the step named', async () => {
    const { open, clock, settle } = processes();
    const flow = workflow('flow', async () => {
      await step('fine', () => 1);
      await step('poison', () => new Promise(() => {}));
    });
    let runtime = open({ workflows: [flow] });
    const { id } = await runtime.start(flow);
    for (let life = 0; life < 6; life += 1) {
      await settle();
      runtime.kill();
      runtime = open({ workflows: [flow] });
      await clock.advance(LEASE + 1_000);
    }
    await expect(runtime.getRun(id).result()).rejects.toMatchObject({
      code: 'run_parked',
      details: { parked: { code: 'crash_loop', suspects: ['poison'] } },
    });
  });
});

describe('close', () => {
  it('yields runs at a boundary, and another process goes on at once', async () => {
    const { open, settle } = processes();
    let release = (): void => {};
    const calls: string[] = [];
    const flow = workflow('flow', async () => {
      await step('long', () => (calls.push('long'), new Promise<void>((resolve) => (release = resolve))));
      await step('next', () => calls.push('next'));
      return 'ok';
    });
    const first = open({ workflows: [flow] });
    const run = await first.start(flow);
    await settle();
    const closing = first.close();
    await settle();
    release();
    await closing;
    expect(calls).toEqual(['long']);
    const second = open({ workflows: [flow] });
    await settle();
    expect(await second.getRun(run.id).result()).toBe('ok');
    expect(calls).toEqual(['long', 'next']);
  });
});
