import type { ApprovalNotice } from 'everturn';
import { describe, expect, it } from 'vitest';
import { chunksOf, DAY, HOUR, openDesk } from './kit.ts';
import type { Desk } from './kit.ts';

interface Told {
  reason: string;
  key: string;
}

/** The run goes through a reminder and an escalation, dies at a commit on the way, and goes on in a new life. */
async function live(at: { n: number; when: 'before' | 'after' } | null, how: 'answered' | 'expired') {
  const told: Told[] = [];
  const desk = openDesk({
    approval: { expiresIn: '1 day', remindAt: '1h', onExpire: { escalateTo: ['boss'], expiresIn: '1 day' } },
    onApprovalRequested: ({ reason, idempotencyKey: key }: ApprovalNotice) => void told.push({ reason, key }),
    patienceMs: 10_000,
  });
  const { runtime } = desk;
  const run = await runtime.start(desk.agent, { prompt: 'Refund order 7', id: 'run_1' });
  if (at?.when === 'before') runtime.crashBeforeCommit(at.n);
  else if (at !== null) runtime.crashAfterCommit(at.n);
  let crashed = false;
  let deaths = 0;
  if (at !== null)
    void runtime.crashed().then(
      () => {
        crashed = true;
        deaths += 1;
      },
      // The story was over before its n-th commit.
      () => undefined,
    );
  /** What a step of the story did not bring about since the process died is done in its next life. */
  const rest = async (): Promise<void> => {
    await runtime.clock.settleAll();
    if (!crashed) return;
    crashed = false;
    await runtime.restart();
    await runtime.clock.settleAll();
  };
  await rest();
  for (const wait of [HOUR + 1, DAY]) {
    await runtime.clock.advance(wait);
    await rest();
  }
  if (how === 'expired') await runtime.clock.advance(2 * DAY);
  else await answer(desk);
  await rest();
  const result = await runtime.getRun('run_1').result();
  const [approval] = (await runtime.approvals.list({ status: 'all' })).items;
  const { audit, status } = await runtime.approvals.get(approval?.id ?? '');
  return { ...desk, deaths, told, result, status, chunks: await chunksOf(run), types: audit.map(({ type }) => type) };
}

async function answer({ runtime }: Desk): Promise<void> {
  for (;;) {
    const [open] = (await runtime.approvals.list()).items;
    try {
      return void (await runtime.approvals.approve(open?.id ?? '', { by: 'boss' }));
    } catch (error) {
      if ((error as { code?: string }).code !== 'runtime_closed') throw error;
      await runtime.restart();
      if ((await runtime.approvals.list()).items.length === 0) return;
    }
  }
}

describe.each(['answered', 'expired'] as const)('an approval that is %s, through a death at each commit', (how) => {
  it('ends the same, with each thing told of and noted once', async () => {
    const whole = await live(null, how);
    const { commits } = whole.runtime;
    expect(commits).toBeGreaterThan(8);
    expect(whole.told.map(({ reason }) => reason)).toEqual(['requested', 'reminder', 'escalated']);
    let all = 0;
    for (const when of ['before', 'after'] as const) {
      for (let n = 1; n <= commits; n += 1) {
        const { deaths, status, types, refunds, told, chunks, prompts, runtime } = await live({ n, when }, how);
        const where = `${when} commit ${n}`;
        expect(status, where).toBe(whole.status);
        expect(types, where).toEqual(whole.types);
        expect(refunds.length, where).toBeGreaterThanOrEqual(how === 'answered' ? 1 : 0);
        expect(new Set(told.map(({ key }) => key)).size, where).toBe(3);
        expect(told.length, where).toBeLessThanOrEqual(4);
        expect(
          chunks.map(({ type }) => type).filter((type) => type !== 'reset-step'),
          where,
        ).toEqual(expect.arrayContaining(whole.chunks.map(({ type }) => type)));
        expect(
          chunks.filter(({ type }) => type === 'tool-approval-response'),
          where,
        ).toHaveLength(1);
        expect(prompts.at(-1), where).toContain(how === 'answered' ? 'refunded 40 EUR' : 'was not given in time');
        await runtime.close();
        all += deaths;
      }
    }
    expect(all).toBe(2 * commits);
  }, 60_000);
});
