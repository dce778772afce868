import { child, createHook, randomUUID, sleep, step, workflow } from 'everturn';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { processes } from './support.ts';
import { silentLogger } from '../support/silent-logger.ts';

const LEASE = 15_000;

describe('randomUUID()', () => {
  it('answers the same on replay, whatever steps asked for in between', async () => {
    const { clock, open, settle } = processes();
    const lives: string[][] = [];
    const flow = workflow('flow', async () => {
      const seen: string[] = [];
      lives.push(seen);
      seen.push(randomUUID());
      const inStep = await step('made', () => randomUUID());
      seen.push(randomUUID());
      await sleep('1 minute');
      return { seen, inStep };
    });
    const first = open({ workflows: [flow] });
    const { id } = await first.start(flow);
    await settle();
    first.kill();
    const second = open({ workflows: [flow] });
    await clock.advance(LEASE + 60_000);
    const { seen, inStep } = await second.getRun<{ seen: string[]; inStep: string }>(id).result();
    expect(lives).toHaveLength(2);
    expect(lives[0]).toEqual(lives[1]);
    expect(new Set([...seen, inStep]).size).toBe(3);
    expect(seen[0]).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
  });
});

describe('a hook with a schema', () => {
  it('goes on waiting after a payload that does not fit, also if the run is not in memory', async () => {
    const { open, settle, logs } = processes();
    const flow = workflow('flow', async () => {
      const hook = createHook({ token: 'pay', schema: z.object({ euros: z.number() }) });
      return (await hook).euros;
    });
    const first = open({ workflows: [flow] });
    const run = await first.start(flow);
    await settle();
    first.kill();
    const second = open({ workflows: [flow] });
    await second.resumeHook('pay', { euros: 'many' });
    await settle();
    expect(logs.some(({ fields }) => fields.code === 'payload_invalid')).toBe(true);
    await second.resumeHook('pay', { euros: 5 });
    expect(await second.getRun(run.id).result()).toBe(5);
    const types = (await second.getRun(run.id).events()).map(({ type }) => type);
    expect(types.filter((type) => type === 'hook_created')).toHaveLength(2);
  });

  it('says so at once where the run is in memory', async () => {
    const { open, settle } = processes();
    const flow = workflow('flow', async () => {
      const hook = createHook({ token: 'pay', schema: z.object({ euros: z.number() }) });
      return (await hook).euros;
    });
    const runtime = open({ workflows: [flow] });
    await runtime.start(flow);
    await settle();
    await expect(runtime.resumeHook('pay', { euros: 'many' })).rejects.toMatchObject({ code: 'payload_invalid' });
  });

  it('keeps a custom token out of the journal', async () => {
    const { open, settle } = processes();
    const flow = workflow('flow', async () => createHook({ token: 'a-secret-token' }));
    const runtime = open({ workflows: [flow] });
    const run = await runtime.start(flow);
    await settle();
    expect(JSON.stringify(await run.events())).not.toContain('a-secret-token');
  });
});

describe('a child with an id of its own', () => {
  it('is refused if another run has the id', async () => {
    const { open } = processes();
    const kid = workflow('kid', () => sleep('1 day'));
    const flow = workflow('flow', () => child(kid, undefined, { id: 'taken' }));
    const runtime = open({ workflows: [flow, kid] });
    await runtime.start(kid, { id: 'taken' });
    const run = await runtime.start(flow);
    await expect(run.result()).rejects.toMatchObject({ code: 'run_failed', cause: { code: 'run_conflict' } });
  });
});

describe('a runtime', () => {
  it('refuses a field that its workflow does not take', async () => {
    const { open } = processes();
    const flow = workflow('flow', async () => 1);
    const runtime = open({ workflows: [flow] });
    await expect(runtime.start('flow', { tread: 'c1' })).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('"tread"'),
    });
  });

  it('refuses one object under two names', () => {
    const { open } = processes();
    const flow = workflow('flow', async () => 1);
    expect(() => open({ workflows: { one: flow, two: flow } })).toThrow(/"one"/);
  });

  it('closes once, whoever asks for it', async () => {
    const { open, settle } = processes();
    let release = (): void => {};
    const flow = workflow('flow', () => step('long', () => new Promise<void>((resolve) => (release = resolve))));
    const runtime = open({ workflows: [flow] });
    await runtime.start(flow);
    await settle();
    const order: string[] = [];
    const closing = runtime.close().then(() => order.push('first'));
    const again = runtime.close().then(() => order.push('second'));
    await settle();
    expect(order).toEqual([]);
    release();
    await Promise.all([closing, again]);
    expect(order).toEqual(['first', 'second']);
  });

  it('opens when its store, busy at first, answers', async () => {
    const { inner, clock, settle } = processes();
    const { createRuntime, DurableError } = await import('everturn');
    let busy = true;
    const store = new Proxy(inner, {
      get: (target, name: keyof typeof inner) =>
        name === 'secret' && busy
          ? () => Promise.reject(new DurableError('store_unavailable', 'busy', { retryable: true }))
          : typeof target[name] === 'function'
            ? (target[name] as (...args: unknown[]) => unknown).bind(target)
            : target[name],
    });
    const flow = workflow('flow', async () => 'up');
    const runtime = createRuntime({ store, clock, workflows: [flow], logger: silentLogger });
    const started = runtime.start(flow);
    await settle();
    busy = false;
    await clock.advance(100);
    expect(await (await started).result()).toBe('up');
    await runtime.close({ graceMs: 0 });
  });
});
