import { describe, expect, it } from 'vitest';
import { createWorker, start } from './kit.ts';
import type { Worker } from './kit.ts';
import type { TestRuntime } from 'everturn/testing';

type How = 'raised' | 'stopped';

interface Life {
  runtime: TestRuntime;
  worker: Worker;
  deaths: number;
  crashed: boolean;
}

/** Four turns' work under a budget that two people have to raise, or the second one stops; the process dies at a commit on the way. */
async function live(at: { n: number; when: 'before' | 'after' } | null, how: How) {
  const worker = createWorker({
    turns: [1, 3, 1, 0],
    durable: { budget: { toolCalls: 2, turns: 3 }, onApprovalRequested: () => undefined },
  });
  const life: Life = { worker, runtime: start(worker, { patienceMs: 10_000 }), deaths: 0, crashed: false };
  const { runtime } = life;
  const run = await runtime.start(worker.agent, { prompt: 'dig', id: 'run_1' });
  if (at?.when === 'before') runtime.crashBeforeCommit(at.n);
  else if (at !== null) runtime.crashAfterCommit(at.n);
  if (at !== null)
    void runtime.crashed().then(
      () => {
        life.crashed = true;
        life.deaths += 1;
      },
      // The story was over before its n-th commit.
      () => undefined,
    );
  for (;;) {
    await rest(life);
    const { status } = await runtime.getRun('run_1').info();
    if (status === 'completed') break;
    if (status === 'failed') throw new Error('the run failed');
    await answer(life, how);
  }
  const { items } = await runtime.approvals.list({ status: 'all' });
  const totals = await runtime.ledgerTotals({ run: 'run_1' });
  return { ...life, asked: items.length, totals, result: await run.result() };
}

/** What did not happen since the process died happens in its next life. */
async function rest(life: Life): Promise<void> {
  await life.runtime.clock.settleAll();
  if (!life.crashed) return;
  life.crashed = false;
  await life.runtime.restart();
  await life.runtime.clock.settleAll();
}

async function answer({ runtime }: Life, how: How): Promise<void> {
  try {
    const [open] = (await runtime.approvals.list()).items;
    if (open === undefined) return;
    const isLast = open.budget?.crossed.some(({ limit }) => limit === 'turns') === true;
    if (how === 'stopped' && isLast) await runtime.approvals.deny(open.id, { by: 'ada', reason: 'enough' });
    else
      await runtime.approvals.approve(open.id, {
        by: 'ada',
        input: { raise: isLast ? { turns: 1 } : { toolCalls: 4 } },
      });
  } catch (error) {
    if ((error as { code?: string }).code !== 'runtime_closed') throw error;
  }
}

describe.each(['raised', 'stopped'] as const)('a budget that is %s, through a death at each commit', (how) => {
  it('asks the same, counts each turn and each tool call once, and ends the same', async () => {
    const whole = await live(null, how);
    const { commits } = whole.runtime;
    expect(commits).toBeGreaterThan(8);
    expect(whole).toMatchObject({
      asked: 2,
      totals: { turns: how === 'raised' ? 4 : 3, toolCalls: 5, attempts: how === 'raised' ? 4 : 3 },
    });
    expect(whole.worker.dug).toEqual([0, 1, 2, 3, 4]);
    let all = 0;
    for (const when of ['before', 'after'] as const) {
      for (let n = 1; n <= commits; n += 1) {
        const { totals, asked, deaths, result, worker, runtime } = await live({ n, when }, how);
        const where = `${when} commit ${n}`;
        expect({ asked, turns: totals.turns, toolCalls: totals.toolCalls }, where).toEqual({
          asked: 2,
          turns: whole.totals.turns,
          toolCalls: whole.totals.toolCalls,
        });
        expect([result.text, result.turns, result.messages, result.budget?.stopped?.by], where).toEqual([
          whole.result.text,
          whole.result.turns,
          whole.result.messages,
          whole.result.budget?.stopped?.by,
        ]);
        expect(
          result.budget?.answers.map(({ raise }) => raise),
          where,
        ).toEqual(whole.result.budget?.answers.map(({ raise }) => raise));
        expect([...new Set(worker.dug)], where).toEqual([0, 1, 2, 3, 4]);
        await runtime.close();
        all += deaths;
      }
    }
    expect(all).toBe(2 * commits);
  }, 60_000);
});
