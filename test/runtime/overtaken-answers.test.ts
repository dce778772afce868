import { createHook, createRuntime, getStepMetadata, step, workflow } from 'everturn';
import type { LogLine } from '../../src/testing/logs.ts';
import { collectLogs } from '../../src/testing/logs.ts';
import { memoryStore } from 'everturn/memory';
import { afterEach, expect, it } from 'vitest';
import type { Runtime, Store } from 'everturn';

let runtime: Runtime | undefined;
afterEach(() => runtime?.close({ graceMs: 0 }));

/** On several connections the answer of a `wait` may come after that of a claim which was made later. */
function slowToAnswerWaits(): { store: Store; waiting: Promise<void>; answer: () => void } {
  const inner = memoryStore();
  let answer = (): void => {};
  let entered = (): void => {};
  const held = new Promise<void>((resolve) => (answer = resolve));
  const waiting = new Promise<void>((resolve) => (entered = resolve));
  const store: Store = {
    ...inner,
    commit: async (batch) => {
      const answers = await inner.commit(batch);
      if (batch.some(({ then }) => then.kind === 'wait')) {
        entered();
        await held;
      }
      return answers;
    },
  };
  return { store, waiting, answer: () => answer() };
}

it('a run that is claimed again before its wait was answered goes on at once, where it was', async () => {
  const lines: LogLine[] = [];
  const attempts: number[] = [];
  const { store, waiting, answer } = slowToAnswerWaits();
  const errand = workflow('errand', async () => {
    const hook = createHook<string>({ token: 'door' });
    const name = await hook;
    return step('greet', () => {
      attempts.push(getStepMetadata().attempt);
      return `Hello ${name}`;
    });
  });
  runtime = createRuntime({ store, workflows: [errand], logger: collectLogs(lines) });
  const run = await runtime.start(errand);
  await waiting;
  await runtime.resumeHook('door', 'Ada');
  answer();
  expect(await run.result()).toBe('Hello Ada');
  expect(attempts).toEqual([1]);
  expect(lines.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
});
