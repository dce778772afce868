import { consoleLogger, createRuntime, FatalError, step, workflow } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

let lines: string[];

beforeEach(() => {
  lines = [];
  for (const level of ['warn', 'error'] as const)
    vi.spyOn(console, level).mockImplementation((line: string) => void lines.push(line));
});

afterEach(() => vi.restoreAllMocks());

const line = (...call: Parameters<ReturnType<typeof consoleLogger>['warn']>): string => {
  consoleLogger().warn(...call);
  return lines.at(-1) ?? '';
};

it('a line has the message, the reason and the fields', () => {
  expect(line({ run: 'r', attempt: 2, err: new Error('no ink') }, 'a step failed')).toBe(
    'everturn: a step failed: no ink {"run":"r","attempt":2}',
  );
});

it('what was thrown that is no error is said too', () => {
  expect(line({ run: 'r', err: 'no ink' }, 'a step failed')).toBe('everturn: a step failed: no ink {"run":"r"}');
});

it.each([
  ['the reason', (text: string) => [{ err: new Error(text) }, 'failed'] as const],
  ['the message', (text: string) => [{}, text] as const],
  ['a field', (text: string) => [{ details: { text } }, 'failed'] as const],
])('%s is cut after 500 characters, and the line says so', (_, call) => {
  const whole = line(...call('x'.repeat(120_000)));
  expect(whole).toMatch(/x{500}\.\.\. \(cut: 120000 characters\)/);
  expect(whole.length).toBeLessThan(600);
  expect(line(...call('x'.repeat(500)))).not.toContain('cut');
});

it('a line is one line, whatever a message holds', () => {
  expect(line({ err: new Error('one\r\n  two\neverturn: three') }, 'failed')).toBe(
    'everturn: failed: one two everturn: three {}',
  );
});

it('fields that JSON has no form for keep no line from being written', () => {
  const loop: Record<string, unknown> = {};
  loop['self'] = loop;
  expect(line({ run: 'r', count: 5n }, 'failed')).toContain('"count":"5"');
  expect(line({ run: 'r', loop }, 'failed')).toContain('"run":"r"');
});

it('the journal has the whole of what the console cuts', async () => {
  const text = 'y'.repeat(5_000);
  const flow = workflow('flow', () =>
    step('break', () => {
      throw new FatalError(text);
    }),
  );
  const runtime = createRuntime({ store: memoryStore(), workflows: [flow] });
  const run = await runtime.start(flow);
  await run.result().catch(() => {});
  expect(lines.some((each) => each.includes('(cut: 5000 characters)'))).toBe(true);
  expect(lines.every((each) => !each.includes(text))).toBe(true);
  expect((await run.info()).error?.message).toBe(text);
  const failed = (await run.events()).find(({ type }) => type === 'step_failed');
  expect(failed?.value).toMatchObject({ message: text });
  await runtime.close();
});
