import { tool } from 'ai';
import { DurableAgent } from 'everturn';
import type { ApprovalLinks, ApprovalNotice } from 'everturn';
import { createApp } from 'everturn/server';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { z } from 'zod';
import { DAY, HOUR } from './kit.ts';
import type { RefundSettings } from './kit.ts';

const QUESTION = 'Refund of 40 EUR for order 7: did it happen?';

interface Doubt {
  runtime: TestRuntime;
  run: string;
  id: string;
  /** Who was told of it, by reason and approval. */
  told: ApprovalNotice[];
  links: ApprovalLinks;
  payBack: ReturnType<typeof vi.fn<() => Promise<unknown>>>;
  /** Prompts that the model got, as text. */
  prompts: string[];
  visit: (url: string, fields?: Record<string, string>) => Promise<{ status: number; text: string }>;
}

interface DoubtOptions {
  approval?: NonNullable<RefundSettings>;
  /** Attempts that the process does not survive. */
  deaths?: number;
  by?: string;
}

/** An agent whose refund never ends in its first processes, and those who are told of it. */
function openDesk({ approval = {}, deaths = 1 }: DoubtOptions) {
  const payBack = vi.fn(async (): Promise<unknown> => ({ receipt: `r${payBack.mock.calls.length}` }));
  for (let n = 0; n < deaths; n += 1) payBack.mockImplementationOnce(() => new Promise(() => {}));
  const told: ApprovalNotice[] = [];
  const handed: ApprovalLinks[] = [];
  const prompts: string[] = [];
  const support = new DurableAgent({
    model: scriptedModel(({ prompt }) => {
      prompts.push(JSON.stringify(prompt));
      return prompt.at(-1)?.role === 'tool'
        ? 'That is all.'
        : { toolCalls: [{ toolName: 'refund', input: { order: 7, euros: 40 } }] };
    }),
    tools: {
      refund: tool({
        inputSchema: z.object({ order: z.number(), euros: z.number() }),
        outputSchema: z.object({ receipt: z.string() }),
        execute: async () => (await payBack()) as { receipt: string },
      }),
    },
    durable: {
      tools: { refund: { onInDoubt: 'ask', describe: () => QUESTION, retries: 2 } },
      approvals: { refund: approval },
      onApprovalRequested: async (notice) => {
        told.push(notice);
        handed.push(await notice.approval.links({ to: 'ada' }));
      },
    },
  });
  const runtime = createTestRuntime({
    agents: { support },
    publicUrl: 'https://shop.example/api',
    patienceMs: 10_000,
  });
  onTestFinished(() => runtime.close());
  return { support, runtime, told, handed, prompts, payBack };
}

/** A refund whose process died, and those who are told of it. */
async function openDoubt({ by = 'carl', ...options }: DoubtOptions = {}): Promise<Doubt> {
  const { support, runtime, told, handed, prompts, payBack } = openDesk(options);
  const app = createApp(runtime, { authorize: () => ({ id: 'carl' }) });
  const run = await runtime.start(support, { prompt: 'refund', by });
  await vi.waitFor(() => expect(payBack).toHaveBeenCalledTimes(1));
  await runtime.restart();
  const { id } = await runtime.pendingApproval(run);
  await vi.waitFor(() => expect(handed).toHaveLength(1));
  await runtime.until(run.id, 'waiting');
  const [links] = handed;
  if (links === undefined) throw new Error('nobody was told');
  const visit: Doubt['visit'] = async (url, fields) => {
    const response = await app.request(url, {
      ...(fields === undefined ? {} : { method: 'POST', body: new URLSearchParams(fields).toString() }),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    return { status: response.status, text: await response.text() };
  };
  return { runtime, run: run.id, id, told, links, payBack, prompts, visit };
}

/** A step whose process dies before its commit is done again, under its key. */
function distinct(told: readonly ApprovalNotice[]): ApprovalNotice[] {
  return [...new Map(told.map((notice) => [notice.idempotencyKey, notice])).values()];
}

/** Lets time go by, an hour at a time. */
async function wait(runtime: TestRuntime, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= HOUR) {
    await runtime.clock.advance(Math.min(left, HOUR) + 1);
    await runtime.clock.settleAll();
  }
}

describe('a call in doubt that is asked about', () => {
  it('is told of with its question, reminded of, and escalated, each once', async () => {
    const { runtime, run, id, told } = await openDoubt({
      approval: { approvers: ['ada'], expiresIn: '1 day', remindAt: '4 hours', onExpire: { escalateTo: ['boss'] } },
    });
    expect(told[0]).toMatchObject({
      reason: 'requested',
      approval: { id, question: 'in-doubt', prompt: QUESTION, requestedBy: 'carl', tool: 'refund', approvers: ['ada'] },
    });
    await runtime.restart();
    await wait(runtime, 5 * HOUR);
    await runtime.restart();
    await wait(runtime, DAY);
    expect(distinct(told).map(({ reason }) => reason)).toEqual(['requested', 'reminder', 'escalated']);
    await runtime.approvals.approve(id, { by: 'boss', result: { receipt: 'b1' } });
    await runtime.until(run, 'completed');
    const { audit } = await runtime.approvals.get(id);
    expect(audit.map(({ type }) => type)).toEqual(['requested', 'notified', 'reminded', 'escalated', 'answered']);
  });

  it('expires: the model is told so, nothing runs, and whoever comes late learns it', async () => {
    const { runtime, run, id, prompts, payBack, links, visit } = await openDoubt({ approval: { expiresIn: '1 day' } });
    await wait(runtime, DAY);
    await runtime.until(run, 'completed');
    expect(prompts[1]).toContain('nobody who was asked has said so in time');
    expect(payBack).toHaveBeenCalledTimes(1);
    const { status, audit } = await runtime.approvals.get(id);
    expect([status, audit.at(-1)?.type]).toEqual(['expired', 'expired']);
    expect((await visit(links.approve)).text).toContain('This has expired');
    await expect(runtime.approvals.approve(id, { by: 'ada' })).rejects.toMatchObject({ code: 'approval_decided' });
  });

  it('counts its time from the moment that it is asked, however long the process was away', async () => {
    const { runtime, id } = await openDoubt({ approval: { expiresIn: '1 day' } });
    const { requestedAt, expiresAt, reason } = await runtime.approvals.get(id);
    expect(expiresAt).toBe(requestedAt + DAY);
    expect(reason).toMatch(/The call started at .* idempotency key/);
  });

  it('is not answered by who has requested it, where the tool has approvers', async () => {
    const { runtime, id, payBack } = await openDoubt({ approval: { approvers: ['ada', 'carl'] } });
    await expect(runtime.approvals.approve(id, { by: 'carl' })).rejects.toMatchObject({ code: 'forbidden' });
    expect((await runtime.approvals.get(id)).audit.at(-1)).toMatchObject({ type: 'refused', by: 'carl' });
    expect(payBack).toHaveBeenCalledTimes(1);
  });

  it('takes a result that fits the outputSchema of the tool, and no other', async () => {
    const { runtime, run, id, prompts } = await openDoubt();
    await expect(runtime.approvals.approve(id, { by: 'ada', result: { receipt: 7 } })).rejects.toMatchObject({
      code: 'payload_invalid',
      message: expect.stringContaining('receipt'),
    });
    await expect(runtime.approvals.approve(id, { by: 'ada', input: { order: 8, euros: 1 } })).rejects.toMatchObject({
      code: 'invalid_argument',
    });
    expect((await runtime.approvals.get(id)).outputSchema).toMatchObject({ properties: { receipt: {} } });
    await runtime.approvals.approve(id, { by: 'ada', result: { receipt: 'r9' } });
    await runtime.until(run, 'completed');
    expect(prompts[1]).toContain('r9');
  });

  it('is asked about once more when the next attempt is interrupted too, and all of both questions is replayed', async () => {
    const { runtime, run, id, told, payBack, prompts } = await openDoubt({
      approval: { remindAt: '1 hour', expiresIn: '2 days' },
      deaths: 2,
    });
    await wait(runtime, 2 * HOUR);
    await runtime.approvals.approve(id, { by: 'ada' });
    await vi.waitFor(() => expect(payBack).toHaveBeenCalledTimes(2));
    await runtime.restart();
    const second = await runtime.pendingApproval(run);
    expect(second.id).not.toBe(id);
    await wait(runtime, 2 * HOUR);
    await runtime.restart();
    await runtime.approvals.approve(second.id, { by: 'ada' });
    await runtime.until(run, 'completed');
    expect(payBack).toHaveBeenCalledTimes(3);
    expect(distinct(told).map(({ reason, approval }) => [reason, approval.id === id])).toEqual([
      ['requested', true],
      ['reminder', true],
      ['requested', false],
      ['reminder', false],
    ]);
    expect(prompts[1]).toContain('r3');
  });
});

describe('the link to a call in doubt', () => {
  it('asks what happened, and takes that it may run again', async () => {
    const { runtime, run, links, visit, payBack } = await openDoubt();
    const { text } = await visit(links.approve);
    for (const said of [QUESTION, 'What is known', 'Run it again', 'It happened', 'Nobody knows'])
      expect(text).toContain(said);
    expect(text).not.toMatch(/<script|https?:\/\//);
    expect(payBack).toHaveBeenCalledTimes(1);
    expect((await visit(links.approve, { says: 'again' })).text).toContain('This is settled');
    await runtime.until(run, 'completed');
    expect(payBack).toHaveBeenCalledTimes(2);
  });

  it('takes what came of it, if it fits the tool, as JSON', async () => {
    const { runtime, run, id, links, visit, payBack, prompts } = await openDoubt();
    const refused = await visit(links.approve, { says: 'happened', result: '<b>paid</b>' });
    expect(refused.status).toBe(422);
    expect(refused.text).toContain('&lt;b&gt;paid&lt;/b&gt;</textarea>');
    expect(refused.text).toContain('fits the outputSchema');
    expect((await runtime.approvals.get(id)).status).toBe('pending');
    expect((await visit(links.approve, { says: 'happened', result: '{"receipt":"r5"}' })).status).toBe(200);
    await runtime.until(run, 'completed');
    expect(prompts[1]).toContain('r5');
    expect(payBack).toHaveBeenCalledTimes(1);
  });

  it.each(['approve', 'deny'] as const)('%s takes that nobody knows', async (action) => {
    const { runtime, run, links, visit, payBack, prompts } = await openDoubt();
    expect((await visit(links[action])).text).toContain('Let it fail');
    const { text } = await visit(links[action], { says: 'failed', reason: 'the bank is asked' });
    expect(text).toContain('This was given up');
    await runtime.until(run, 'completed');
    expect(prompts[1]).toContain('the bank is asked');
    expect(payBack).toHaveBeenCalledTimes(1);
  });

  it('that denies cannot say that it happened', async () => {
    const { runtime, run, links, visit, payBack, prompts } = await openDoubt();
    await visit(links.deny, { says: 'happened', result: '{"receipt":"r5"}' });
    await runtime.until(run, 'completed');
    expect(prompts[1]).toContain('Cannot say whether the tool');
    expect(payBack).toHaveBeenCalledTimes(1);
  });
});

/** The refund's process dies; the doubt is told of, reminded of, escalated and settled, and the process dies at a commit on the way. */
async function live(at: { n: number; when: 'before' | 'after' } | null) {
  const desk = openDesk({
    approval: { expiresIn: '1 day', remindAt: '1h', onExpire: { escalateTo: ['boss'], expiresIn: '1 day' } },
  });
  const { runtime, support, payBack } = desk;
  const { id: run } = await runtime.start(support, { prompt: 'refund' });
  await vi.waitFor(() => expect(payBack).toHaveBeenCalledTimes(1));
  await runtime.restart();
  let isDead = false;
  if (at !== null) {
    if (at.when === 'before') runtime.crashBeforeCommit(at.n);
    else runtime.crashAfterCommit(at.n);
    // The story may be over before its n-th commit.
    void runtime.crashed().then(
      () => (isDead = true),
      () => undefined,
    );
  }
  let deaths = 0;
  /** Until nothing goes on, in the next life if this one is over. */
  const rest = async (): Promise<void> => {
    await expect
      .poll(async () => isDead || !['ready', 'running'].includes((await runtime.getRun(run).status) ?? ''))
      .toBe(true);
    if (!isDead) return;
    isDead = false;
    deaths += 1;
    await runtime.restart();
    await rest();
  };
  await rest();
  for (const ms of [HOUR + 1, DAY]) {
    await runtime.clock.advance(ms);
    await rest();
  }
  const { commits } = runtime;
  for (let isAnswered = false; !isAnswered;) {
    const [open] = (await runtime.approvals.list({ status: 'all' })).items;
    isAnswered = await runtime.approvals.approve(open?.id ?? '', { by: 'boss', result: { receipt: 'b1' } }).then(
      () => true,
      () => false,
    );
    await rest();
  }
  await rest();
  await runtime.until(run, 'completed');
  const [approval] = (await runtime.approvals.list({ status: 'all' })).items;
  const { audit, status } = await runtime.approvals.get(approval?.id ?? '');
  return { ...desk, status, deaths, commits, types: audit.map(({ type }) => type) };
}

it('a doubt that is told of, reminded of, escalated and settled ends the same through a death at each commit', async () => {
  const whole = await live(null);
  expect(whole.types).toEqual(['requested', 'notified', 'reminded', 'escalated', 'answered']);
  expect(whole.commits).toBeGreaterThan(5);
  let deaths = 0;
  for (const when of ['before', 'after'] as const) {
    for (let n = 1; n <= whole.commits; n += 1) {
      const life = await live({ n, when });
      const where = `${when} commit ${n}`;
      expect([life.status, life.types], where).toEqual([whole.status, whole.types]);
      expect(new Set(life.told.map(({ idempotencyKey }) => idempotencyKey)).size, where).toBe(3);
      expect(life.payBack, where).toHaveBeenCalledTimes(1);
      expect(life.prompts.at(-1), where).toContain('b1');
      await life.runtime.close();
      deaths += life.deaths;
    }
  }
  expect(deaths).toBe(2 * whole.commits);
}, 60_000);
