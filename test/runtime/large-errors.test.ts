import { APICallError, RetryError } from 'ai';
import { child, createHook, FatalError, sleep, step, workflow } from 'everturn';
import { describe, expect, it } from 'vitest';
import { decodeValue, encodeThrown, encodeValue, MAX_VALUE_BYTES, parseValue } from '../../src/runtime/codec.ts';
import { processes } from './support.ts';

const HUGE = 'x'.repeat(1_100_000);
const healthy = workflow('healthy', async () => {
  await sleep('1 minute');
  return step('work', () => 'done');
});

describe('an error that is larger than a value may be', () => {
  it('of a step reaches the code around it, cut', async () => {
    const { open } = processes();
    const flow = workflow('flow', () =>
      step('a', () => Promise.reject(new FatalError(HUGE))).catch((error: Error) => [error.name, error.message.length]),
    );
    const [name, length] = await (await open({ workflows: [flow] }).start(flow)).result();
    expect(name).toBe('FatalError');
    expect(length).toBeLessThan(20_000);
  });

  it('of a step is retried like any other, at once and after a long delay', async () => {
    for (const delay of ['100ms', '1h']) {
      const { clock, open } = processes();
      let calls = 0;
      const flow = workflow('flow', () =>
        step('a', () => {
          calls += 1;
          if (calls === 1) throw Object.assign(new Error(HUGE), { name: 'RetryableError', retryAfter: delay });
          return calls;
        }),
      );
      const run = await open({ workflows: [flow] }).start(flow);
      await clock.advance('2h');
      expect(await run.result(), delay).toBe(2);
    }
  });

  it('of a workflow fails that run alone', async () => {
    for (const thrown of [new Error(HUGE), HUGE, { text: HUGE }]) {
      const { clock, open } = processes();
      const flow = workflow('flow', () => Promise.reject(thrown as Error));
      const runtime = open({ workflows: [flow, healthy] });
      const other = await runtime.start(healthy);
      const run = await runtime.start(flow);
      await expect(run.result()).rejects.toMatchObject({ code: 'run_failed' });
      await clock.advance('1 minute');
      expect(await other.result()).toBe('done');
    }
  });
});

describe('a payload as large as a value may be', () => {
  it('is received by its hook', async () => {
    const { open, settle } = processes();
    const flow = workflow('flow', async () => (await createHook<string>({ token: 'in' })).length);
    const runtime = open({ workflows: [flow] });
    const run = await runtime.start(flow);
    await settle();
    const payload = 'y'.repeat(MAX_VALUE_BYTES - 4);
    expect(encodeValue(payload, 'a payload')).toHaveLength(MAX_VALUE_BYTES + 1);
    await runtime.resumeHook('in', payload);
    expect(await run.result()).toBe(payload.length);
  });
});

describe('a result larger than a value may be', () => {
  it('reaches who asks for it, and the parent of its run', async () => {
    const { open } = processes();
    const gather = workflow('gather', () => Promise.resolve(HUGE.repeat(3)));
    const parent = workflow('parent', () => child(gather, undefined));
    const runtime = open({ workflows: [gather, parent] });
    const run = await runtime.start(parent);
    expect(await run.result()).toBe(HUGE.repeat(3));
  });
});

describe('an error as it is stored', () => {
  const stored = (error: unknown): Error => decodeValue(encodeThrown(error)) as Error;

  it('keeps of a provider error what decides about a retry, and neither prompt nor answer', () => {
    const error = new APICallError({
      message: 'overloaded',
      url: 'https://model.example/v1',
      requestBodyValues: { messages: [{ role: 'user', content: HUGE }] },
      statusCode: 529,
      responseBody: HUGE,
      responseHeaders: { 'retry-after': '7', 'set-cookie': 'session=secret' },
      data: { error: HUGE },
      isRetryable: true,
    });
    const back = stored(new RetryError({ message: 'gave up', reason: 'maxRetriesExceeded', errors: [error] }));
    const { lastError } = back as RetryError;
    expect(APICallError.isInstance(lastError)).toBe(true);
    expect(lastError).toMatchObject({ statusCode: 529, isRetryable: true, responseHeaders: { 'retry-after': '7' } });
    const text = new TextDecoder().decode(encodeThrown(error));
    expect(text).not.toContain('xxx');
    expect(text).not.toContain('secret');
  });

  it('fits whatever it is made of', () => {
    const endless = new Error('<'.repeat(1_000_000));
    endless.cause = new Error('<'.repeat(1_000_000), { cause: endless });
    endless.stack = '<'.repeat(1_000_000);
    const loop = new Error('loop');
    Object.assign(loop, { self: { loop } });
    let deep = new Error('root');
    for (let n = 0; n < 200; n += 1) deep = Object.assign(new Error(`${n}`, { cause: deep }), { inner: deep });
    for (const error of [endless, loop, deep, HUGE, { HUGE }, () => {}, Symbol('s'), null])
      expect(encodeThrown(error).length).toBeLessThan(MAX_VALUE_BYTES);
    expect((stored(deep).cause as Error).message).toBe('198');
  });

  it('inside a value is cut as well', () => {
    const { error } = parseValue(
      new TextDecoder().decode(encodeValue({ error: new Error(HUGE) }, 'a result').subarray(1)),
    ) as { error: Error };
    expect(error.message).toMatch(/^x+\.\.\. \(cut: 1100000 characters\)$/);
  });
});
