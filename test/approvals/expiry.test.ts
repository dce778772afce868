import type { ApprovalNotice } from 'everturn';
import { describe, expect, it } from 'vitest';
import { chunksOf, DAY, HOUR, openDesk } from './kit.ts';

const EXPIRED = 'its approval was not given in time, and the request for it has expired';

describe('an approval that nobody answers in time', () => {
  it('expires: the tool does not run, and the model and the readers are told so', async () => {
    const { agent, runtime, refunds, prompts } = openDesk({ approval: { expiresIn: '1 day' } });
    const run = await runtime.start(agent, { prompt: 'Refund order 7' });
    const { id, expiresAt, requestedAt } = await runtime.pendingApproval(run);
    expect(expiresAt).toBe(requestedAt + DAY);
    await runtime.until(run, 'waiting');
    await runtime.clock.advance(DAY + 1);
    expect((await run.result()).text).toBe('That is all.');
    expect(refunds).toEqual([]);
    expect(prompts[1]).toContain(EXPIRED);
    expect(prompts[1]).not.toContain('execution-denied');
    expect(await chunksOf(run)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ type: 'tool-approval-response', approved: false }),
        expect.objectContaining({ type: 'tool-output-error', errorText: expect.stringContaining(EXPIRED) }),
      ]),
    );
    expect(await runtime.approvals.get(id)).toMatchObject({ status: 'expired', answers: [] });
    await expect(runtime.approvals.approve(id, { by: 'ada' })).rejects.toMatchObject({
      code: 'approval_decided',
      details: { status: 'expired' },
    });
  });

  it('expires although one of two has approved', async () => {
    const { agent, runtime, refunds, prompts } = openDesk({ approval: { needed: 2, expiresIn: '1 day' } });
    const run = await runtime.start(agent, { prompt: 'Refund order 7' });
    const { id } = await runtime.pendingApproval(run);
    await runtime.until(run, 'waiting');
    expect(await runtime.approvals.approve(id, { by: 'ada' })).toMatchObject({ status: 'pending' });
    await runtime.clock.advance(DAY + 1);
    await run.result();
    expect(refunds).toEqual([]);
    expect(prompts[1]).toContain(EXPIRED);
    expect(await runtime.approvals.get(id)).toMatchObject({ status: 'expired', answers: [{ by: 'ada' }] });
    await expect(runtime.approvals.approve(id, { by: 'ben' })).rejects.toMatchObject({ code: 'approval_decided' });
  });

  it('leaves no timer behind when it was answered', async () => {
    const { agent, runtime, refunds } = openDesk({ approval: { expiresIn: '1 day', remindAt: ['1h', '2h'] } });
    const run = await runtime.start(agent, { prompt: 'Refund order 7' });
    const { id } = await runtime.pendingApproval(run);
    await runtime.until(run, 'waiting');
    await runtime.clock.advance(HOUR + 1);
    await runtime.until(run, 'waiting');
    await runtime.approvals.approve(id, { by: 'ada' });
    expect((await run.result()).text).toBe('That is all.');
    expect(refunds).toHaveLength(1);
  });

  it('is refused to those who answer after its time, although no process has closed it', async () => {
    const { agent, runtime, refunds } = openDesk({ approval: { expiresIn: '1 day' } });
    const run = await runtime.start(agent, { prompt: 'Refund order 7' });
    const { id } = await runtime.pendingApproval(run);
    await runtime.until(run, 'waiting');
    await runtime.restart({ worker: false });
    await runtime.clock.advance(DAY + 1);
    await expect(runtime.approvals.approve(id, { by: 'ada' })).rejects.toMatchObject({
      code: 'approval_decided',
      details: { status: 'expired' },
    });
    expect(await runtime.approvals.get(id)).toMatchObject({ status: 'expired' });
    await runtime.restart({ worker: {} });
    await runtime.getRun(run.id).result();
    expect(refunds).toEqual([]);
  });

  it('expires the same on replay', async () => {
    const { agent, runtime, prompts } = openDesk({ approval: { expiresIn: '1 day', remindAt: '1h' } });
    const run = await runtime.start(agent, { prompt: 'Refund order 7' });
    await runtime.pendingApproval(run);
    await runtime.until(run, 'waiting');
    await runtime.clock.advance(HOUR + 1);
    await runtime.until(run, 'waiting');
    await runtime.restart();
    runtime.crashAfterCommit(2);
    await runtime.clock.advance(DAY);
    await runtime.crashed();
    await runtime.restart();
    await runtime.getRun(run.id).result();
    expect(prompts.at(-1)).toContain(EXPIRED);
    const errors = (await chunksOf(run)).filter(({ type }) => type === 'tool-output-error');
    expect(errors).toHaveLength(1);
  });
});

describe('reminders and escalation', () => {
  it('come in their time, each once', async () => {
    const told: Array<[string, string]> = [];
    const onApprovalRequested = ({ reason, idempotencyKey }: ApprovalNotice): void =>
      void told.push([reason, idempotencyKey]);
    const { agent, runtime } = openDesk({
      approval: { expiresIn: '1 day', remindAt: ['1h', '3h'] },
      onApprovalRequested,
    });
    const run = await runtime.start(agent, { prompt: 'Refund order 7' });
    await runtime.pendingApproval(run);
    for (const wait of [HOUR, 2 * HOUR]) {
      await runtime.until(run, 'waiting');
      await runtime.clock.advance(wait + 1);
    }
    await runtime.until(run, 'waiting');
    expect(told.map(([reason]) => reason)).toEqual(['requested', 'reminder', 'reminder']);
    expect(new Set(told.map(([, key]) => key)).size).toBe(3);
    await runtime.clock.advance(DAY);
    await run.result();
    expect(told).toHaveLength(3);
  });

  it('that fell due while no process lived come once, and not at all if the approval has expired by then', async () => {
    const told: string[] = [];
    const onApprovalRequested = ({ reason }: ApprovalNotice): void => void told.push(reason);
    const { agent, runtime, prompts } = openDesk({
      approval: { expiresIn: '1 day', remindAt: ['1h', '2h', '3h'] },
      onApprovalRequested,
    });
    const run = await runtime.start(agent, { prompt: 'Refund order 7' });
    await runtime.pendingApproval(run);
    await runtime.until(run, 'waiting');
    await runtime.restart({ worker: false });
    await runtime.clock.advance(2.5 * HOUR);
    await runtime.restart({ worker: {} });
    await runtime.clock.settleAll();
    expect(told).toEqual(['requested', 'reminder']);
    await runtime.restart({ worker: false });
    await runtime.clock.advance(2 * DAY);
    await runtime.restart({ worker: {} });
    await runtime.getRun(run.id).result();
    expect(told).toEqual(['requested', 'reminder']);
    expect(prompts.at(-1)).toContain(EXPIRED);
  });

  it('lets others answer when the first ones did not, for a time of their own', async () => {
    const told: ApprovalNotice[] = [];
    const { agent, runtime, refunds } = openDesk({
      approval: { approvers: ['ada'], expiresIn: '1h', onExpire: { escalateTo: ['boss'], expiresIn: '2h' } },
      onApprovalRequested: (notice) => void told.push(notice),
    });
    const run = await runtime.start(agent, { prompt: 'Refund order 7' });
    const { id } = await runtime.pendingApproval(run);
    await runtime.until(run, 'waiting');
    await expect(runtime.approvals.approve(id, { by: 'boss' })).rejects.toMatchObject({ code: 'forbidden' });
    await runtime.clock.advance(HOUR + 1);
    await runtime.until(run, 'waiting');
    expect(told.map(({ reason }) => reason)).toEqual(['requested', 'escalated']);
    const { expiresAt, audit } = await runtime.approvals.get(id);
    expect(expiresAt).toBe(told[1]?.approval.expiresAt);
    expect(audit.map(({ type }) => type)).toEqual(['requested', 'notified', 'refused', 'escalated']);
    await runtime.approvals.approve(id, { by: 'boss' });
    await run.result();
    expect(refunds).toHaveLength(1);
  });

  it('ends when those to whom it was escalated do not answer either', async () => {
    const { agent, runtime, refunds, prompts } = openDesk({
      approval: { expiresIn: '1h', onExpire: { escalateTo: ['boss'] } },
    });
    const run = await runtime.start(agent, { prompt: 'Refund order 7' });
    await runtime.pendingApproval(run);
    await runtime.until(run, 'waiting');
    await runtime.clock.advance(HOUR + 1);
    await runtime.until(run, 'waiting');
    await runtime.clock.advance(HOUR + 1);
    await run.result();
    expect(refunds).toEqual([]);
    expect(prompts.at(-1)).toContain(EXPIRED);
  });
});

it('an answer and the end of its time in the same millisecond: one of them holds, a thousand times', async () => {
  const { agent, runtime, refunds } = openDesk({ approval: { expiresIn: '1 second' } });
  const { approvals, clock } = runtime;
  const outcomes = { approved: 0, expired: 0 };
  for (let round = 0; round < 20; round += 1) {
    const starts = Array.from({ length: 50 }, () => runtime.start(agent, { prompt: 'Refund' }));
    const runs = await Promise.all(starts);
    await clock.settleAll();
    const { items } = await approvals.list();
    expect(items).toHaveLength(runs.length);
    const before = refunds.length;
    const last = Math.max(...items.map(({ expiresAt }) => expiresAt ?? 0));
    await clock.advance(last - clock.now() - 1);
    const passed = clock.advance(1);
    const answers = await Promise.all(
      items.map(async ({ id }, n) => {
        for (let turns = (round % 5) + n; turns > 0; turns -= 1) await new Promise((resolve) => setImmediate(resolve));
        return approvals.approve(id, { by: 'ada' }).then(
          () => 'approved' as const,
          () => 'expired' as const,
        );
      }),
    );
    await passed;
    await clock.settleAll();
    const ended = await Promise.all(runs.map(({ status }) => status));
    expect(new Set(ended)).toEqual(new Set(['completed']));
    const now = await Promise.all(items.map(({ id }) => approvals.get(id)));
    expect(now.map(({ status }) => status)).toEqual(answers);
    expect(refunds.length - before).toBe(answers.filter((answer) => answer === 'approved').length);
    for (const answer of answers) outcomes[answer] += 1;
  }
  expect(outcomes.approved + outcomes.expired).toBe(1_000);
  expect(outcomes.approved).toBeGreaterThan(0);
  expect(outcomes.expired).toBeGreaterThan(0);
}, 120_000);
