import { pino } from 'pino';
import { createRuntime, FatalError, step, workflow } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { expect, it } from 'vitest';

it('a pino logger fits, and its lines carry run, step, attempt and code', async () => {
  const lines: Array<Record<string, unknown>> = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  const logger = pino({ level: 'debug' }, { write });
  const flow = workflow('flow', () =>
    step('charge', () => Promise.reject(new FatalError('the card was refused')), { retries: 3 }),
  );
  const runtime = createRuntime({ store: memoryStore(), workflows: [flow], logger });
  const run = await runtime.start(flow, { id: 'order-7' });
  await expect(run.result()).rejects.toMatchObject({ code: 'run_failed' });
  await runtime.close();
  expect(lines).toContainEqual(
    expect.objectContaining({
      level: 40,
      run: 'order-7',
      step: 'charge',
      attempt: 1,
      code: 'step_failed',
      err: expect.objectContaining({ message: 'the card was refused' }),
    }),
  );
});
