import { DurableAgent } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { tool } from 'ai';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { expectRefusal } from './refusal.ts';

let paid: unknown[];
let runtime: TestRuntime;
let agent: DurableAgent<never, { refund: ReturnType<typeof refundTool> }>;

const refundTool = () =>
  tool({
    inputSchema: z.object({ amount: z.number(), reason: z.string().optional() }),
    execute: (input) => {
      paid.push(input);
      return 'paid';
    },
  });

beforeEach(() => {
  paid = [];
  agent = new DurableAgent({
    model: scriptedModel([{ toolCalls: [{ toolName: 'refund', input: { amount: 40 } }] }, 'Done.']),
    tools: { refund: refundTool() },
    toolApproval: { refund: 'user-approval' },
  });
  runtime = createTestRuntime({ agents: { support: agent } });
});
afterEach(() => runtime.close());

async function ask() {
  const run = await runtime.start(agent, { id: 'r1', prompt: 'Refund 40.' });
  return { run, approval: await runtime.pendingApproval(run) };
}

describe('an approval that was answered', () => {
  it('tells the second one who answered, what and when; the first answer stands', async () => {
    const { run, approval } = await ask();
    await runtime.approvals.deny(approval.id, { by: 'ada', reason: 'too much' });
    await run.result();
    await runtime.clock.advance('3 minutes');
    await expectRefusal(() => runtime.approvals.approve(approval.id, { by: 'bob' }), {
      code: 'approval_decided',
      says: new RegExp(`"${approval.id}" of "refund" was denied by ada 3 min ago.*first decision counts`),
      details: { id: approval.id, status: 'denied', by: 'ada', at: runtime.clock.now() - 180_000, run: 'r1' },
    });
    expect(await runtime.approvals.get(approval.id)).toMatchObject({
      status: 'denied',
      answers: [{ by: 'ada', approved: false }],
    });
    expect(paid).toEqual([]);
  });

  it('tells one of two who answer at once that the other one decided', async () => {
    const { run, approval } = await ask();
    const answers = await Promise.allSettled([
      runtime.approvals.approve(approval.id, { by: 'ada' }),
      runtime.approvals.deny(approval.id, { by: 'bob' }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(answers[1]).toMatchObject({
      reason: { code: 'approval_decided', details: { by: 'ada', status: 'approved' } },
    });
    await run.result();
    expect(paid).toEqual([{ amount: 40 }]);
  });

  it('by the end of its run says so', async () => {
    const { run, approval } = await ask();
    await run.cancel();
    await runtime.until(run, 'cancelled');
    await expectRefusal(() => runtime.approvals.approve(approval.id, { by: 'bob' }), {
      code: 'approval_decided',
      says: /of "refund" was closed: its run "r1" ended/,
      details: { id: approval.id, status: 'closed', run: 'r1' },
    });
  });
});

describe('an answer that is none', () => {
  it('without a name is refused with the right form', async () => {
    const { approval } = await ask();
    await expectRefusal(() => runtime.approvals.approve(approval.id, {} as never), {
      code: 'invalid_argument',
      says: /"by" is missing.*approve\("apr_\w+", \{ by: "user_7" \}\)/,
      details: { id: approval.id },
    });
  });

  it('with an input that the tool does not accept names the field; the approval still waits', async () => {
    const { run, approval } = await ask();
    await expectRefusal(() => runtime.approvals.approve(approval.id, { by: 'ada', input: { amount: 'all' } }), {
      code: 'payload_invalid',
      says: /call of "refund" with this input: amount: .*fits the schema/,
      details: { tool: 'refund', issues: [{ path: 'amount' }] },
    });
    expect((await runtime.pendingApproval(run)).id).toBe(approval.id);
    await runtime.approvals.approve(approval.id, { by: 'ada', input: { amount: 5 } });
    await run.result();
    expect(paid).toEqual([{ amount: 5 }]);
  });

  it('with a result is refused: the call has not run', async () => {
    const { approval } = await ask();
    await expectRefusal(() => runtime.approvals.approve(approval.id, { by: 'ada', result: 'paid' }), {
      code: 'invalid_argument',
      says: /the call has not run.*Leave "result" out/,
    });
  });

  it('as the payload of a hook is refused: an approval has no payload', async () => {
    const { approval } = await ask();
    await expectRefusal(() => runtime.resumeHook(approval.id, { approved: true }), {
      code: 'hook_not_found',
      says: /no hook with this token/,
    });
  });
});
