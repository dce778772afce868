import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRuntime, DurableAgent } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { scriptedModel } from 'everturn/testing';
import { expect, it, onTestFinished } from 'vitest';
import { startChild } from '../support/child.ts';
import type { Child } from '../support/child.ts';
import type { KilledMessage, KilledOptions } from './killed-process.ts';

function launch(options: KilledOptions): Child<KilledMessage> {
  const child = startChild<KilledMessage>(new URL('killed-process.ts', import.meta.url), options);
  onTestFinished(() => child.kill());
  return child;
}

it('a model attempt that was killed in mid-stream stands in the ledger, and the budget counts what is known of it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'everturn-budget-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'runs.db');
  const first = launch({ file, run: 'r', stops: 2 });
  await first.message(({ kind }) => kind === 'said');
  first.kill();
  await first.ended;
  // It asks for the second turn once more, and a person before the third; it does not live to hear the answer.
  const second = launch({ file, run: 'r', stops: 0 });
  await second.message(({ kind }) => kind === 'asked');
  second.kill();
  await second.ended;

  const agent = new DurableAgent({ model: scriptedModel([]), durable: { budget: { turns: 2 } } });
  const office = createRuntime({ store: sqliteStore(file), agents: { agent }, worker: false });
  onTestFinished(() => office.close());
  const [open] = (await office.approvals.list()).items;
  expect(open).toMatchObject({ question: 'budget', budget: { crossed: [{ limit: 'turns', used: 2 }] } });
  await office.approvals.approve(open?.id ?? '', { by: 'ada' });
  const third = launch({ file, run: 'r', stops: 0 });
  expect(await third.message(({ kind }) => kind === 'ended')).toMatchObject({ text: 'All dug.' });
  await third.ended;

  const { items } = await office.ledger({ run: 'r' });
  expect(items.map(({ key, attempt, outcome, nanoUsd }) => [key, attempt, outcome, nanoUsd])).toEqual([
    ['agent#0/t0', 1, 'completed', 600_000],
    ['agent#0/t1', 1, 'unknown', null],
    ['agent#0/t1', 2, 'completed', 600_000],
    ['agent#0/t2', 1, 'completed', 600_000],
  ]);
  expect(new Set(items.map(({ id }) => id)).size).toBe(4);
  const { usage } = await office.getRun<{ usage: { inputTokens: number; outputTokens: number } }>('r').result();
  expect(await office.ledgerTotals({ run: 'r' })).toEqual({
    attempts: 4,
    turns: 3,
    toolCalls: 2,
    inputTokens: usage.inputTokens,
    outputTokens: usage.outputTokens,
    nanoUsd: 1_800_000,
    unpriced: 1,
  });
}, 60_000);
