import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Approval, Question } from 'everturn';
import { everturn } from '../cli/everturn.ts';
import { startChild } from '../support/child.ts';
import type { Child } from '../support/child.ts';
import { startWitness } from '../support/witness.ts';
import type { Witness } from '../support/witness.ts';
import type { DoubtMessage, DoubtOptions } from './doubt-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'everturn-doubt-'));
const file = join(folder, 'runs.db');
let witness: Witness;
beforeAll(async () => {
  witness = await startWitness();
});
afterAll(async () => {
  await witness.close();
  rmSync(folder, { recursive: true });
});

function live(task: Omit<DoubtOptions, 'file' | 'witness'>): Child<DoubtMessage> {
  const { url } = witness;
  return startChild(new URL('doubt-process.ts', import.meta.url), {
    ...task,
    file,
    witness: { url, file: witness.file },
  });
}

async function killed(child: Child<DoubtMessage>, when: DoubtMessage['kind']): Promise<void> {
  await child.message(({ kind }) => kind === when);
  child.kill('SIGKILL');
  await child.ended;
}

const effects = (run: string) => witness.records().filter(({ key }) => key.startsWith(`${run}/`));

async function endOf(child: Child<DoubtMessage>): Promise<string> {
  const ended = (await child.message(({ kind }) => kind === 'ended')) as Extract<DoubtMessage, { kind: 'ended' }>;
  await child.ended;
  return ended.text;
}

async function listed<T>(what: 'approvals' | 'questions', run: string): Promise<T> {
  const { items } = (await everturn(file, ['inspect', what, '--run', run, '--json'])).json() as { items: T[] };
  expect(items).toHaveLength(1);
  return items[0] as T;
}

describe('a refund whose process was killed', () => {
  it('after it was made: the tool finds that, and it is made once', async () => {
    const task = { run: 'found', stops: 'after', looks: true } as const;
    await killed(live(task), 'stopped');
    expect(await endOf(live(task))).toBe('Then: {"refund":"paid, says the bank"}');
    expect(effects('found')).toHaveLength(1);
  }, 60_000);

  it('before it was made: the tool finds that, makes it once, asks, and is answered while no process lives', async () => {
    const task = { run: 'missing', stops: 'before', looks: true } as const;
    await killed(live(task), 'stopped');
    expect(effects('missing')).toEqual([]);
    await killed(live(task), 'waiting');
    const question = await listed<Question>('questions', 'missing');
    expect(question).toMatchObject({ prompt: 'Is the customer told?', tool: 'refund', status: 'pending' });
    const wrong = await everturn(file, ['answer', question.id, '"maybe"', '--by', 'ada', '--json']);
    expect([wrong.code, wrong.json()]).toMatchObject([1, { error: { code: 'payload_invalid' } }]);
    const right = await everturn(file, ['answer', question.id, '"yes"', '--by', 'ada']);
    expect(right.stdout).toContain('ada answers "Is the customer told?" with "yes"');
    const late = await everturn(file, ['answer', question.id, '"no"', '--by', 'ben', '--json']);
    expect(late.json()).toMatchObject({ error: { code: 'question_settled', details: { by: 'ada' } } });
    expect(await endOf(live(task))).toBe('Then: {"refund":"paid 40, told: yes"}');
    expect(effects('missing')).toHaveLength(1);
  }, 60_000);

  it('after it was made: a person is told what it was, says what came of it, and it is made once', async () => {
    const task = { run: 'asked', stops: 'after', looks: false } as const;
    await killed(live(task), 'stopped');
    await killed(live(task), 'waiting');
    const doubt = await listed<Approval>('approvals', 'asked');
    expect(doubt).toMatchObject({ question: 'in-doubt', prompt: 'refund of 40 EUR for order 7: did it happen?' });
    const page = (await everturn(file, ['inspect', 'approvals', '--run', 'asked'])).stdout;
    expect(page).toContain('refund of 40 EUR for order 7: did it happen?');
    const said = await everturn(file, ['approve', doubt.id, '--result', '"the bank has it"', '--by', 'ada']);
    expect(said.stdout).toContain('ada says that refund of run asked took effect');
    expect(await endOf(live(task))).toBe('Then: {"refund":"the bank has it"}');
    expect(effects('asked')).toHaveLength(1);
  }, 60_000);
});
