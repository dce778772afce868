import type { ApprovalAnswer, DurableAgentSettings } from 'everturn';
import { DurableAgent, getToolMetadata } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import { tool } from 'ai';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { HOUR, openDesk } from './kit.ts';
import type { Desk, DeskOptions } from './kit.ts';

async function waiting(options: DeskOptions): Promise<Desk & { id: string; run: string }> {
  const desk = openDesk(options);
  const run = await desk.runtime.start(desk.agent, { prompt: 'Refund order 7', by: 'carl' });
  const { id } = await desk.runtime.pendingApproval(run);
  await desk.runtime.until(run, 'waiting');
  return { ...desk, id, run: run.id };
}

async function refusalsOf({ runtime, id }: Pick<Desk, 'runtime'> & { id: string }) {
  const { audit, status, answers } = await runtime.approvals.get(id);
  return { status, answers: answers.length, refused: audit.filter(({ type }) => type === 'refused') };
}

describe('who may answer', () => {
  it('is asked when the answer arrives: the person with their roles, the approval and the answer', async () => {
    const asked: ApprovalAnswer[] = [];
    const desk = await waiting({
      approval: {
        approvers: async (answer) => {
          asked.push(answer);
          return answer.by.roles.includes('finance');
        },
      },
    });
    const { runtime, id } = desk;
    await expect(runtime.approvals.approve(id, { by: { id: 'ben', roles: ['support'] } })).rejects.toMatchObject({
      code: 'forbidden',
    });
    expect(await refusalsOf(desk)).toMatchObject({
      status: 'pending',
      answers: 0,
      refused: [{ by: 'ben', from: 'code', approved: true, why: 'the agent says that they may not' }],
    });
    await runtime.approvals.approve(id, { by: { id: 'ada', roles: ['finance'] }, from: 'slack' });
    await runtime.getRun(desk.run).result();
    expect(asked[1]).toMatchObject({
      by: { id: 'ada', roles: ['finance'] },
      approved: true,
      from: 'slack',
      approval: { id, tool: 'refund', requestedBy: 'carl', input: { order: 7, euros: 40 } },
    });
    expect(desk.refunds).toHaveLength(1);
  });

  it('is nobody who has lost the role meanwhile', async () => {
    const roles = new Map([['ada', 'finance']]);
    const desk = await waiting({ approval: { approvers: ({ by }) => roles.get(by.id) === 'finance' } });
    roles.delete('ada');
    await expect(desk.runtime.approvals.approve(desk.id, { by: 'ada' })).rejects.toMatchObject({ code: 'forbidden' });
    expect(await refusalsOf(desk)).toMatchObject({ status: 'pending', refused: [{ by: 'ada' }] });
  });

  it.each([
    ['throws', () => Promise.reject(new Error('the directory is down')), 'failed'],
    ['answers something else than true', () => 'yes' as unknown as boolean, 'they may not'],
  ])('is nobody when the function %s', async (_, approvers, why) => {
    const desk = await waiting({ approval: { approvers } });
    await expect(desk.runtime.approvals.approve(desk.id, { by: 'ada' })).rejects.toMatchObject({ code: 'forbidden' });
    const { status, refused } = await refusalsOf(desk);
    expect([status, refused[0]?.why]).toEqual(['pending', expect.stringContaining(why)]);
    expect(refused[0]?.why).not.toContain('directory');
    expect(desk.refunds).toEqual([]);
  });

  it('is nobody where the function is not known', async () => {
    const desk = await waiting({ approval: { approvers: () => true } });
    const elsewhere = createTestRuntime({ store: desk.runtime.store, clock: desk.runtime.clock, worker: false });
    await expect(elsewhere.approvals.approve(desk.id, { by: 'ada' })).rejects.toThrow(
      'answer where the agent "support" is registered',
    );
    expect(await refusalsOf(desk)).toMatchObject({ status: 'pending', refused: [{ by: 'ada' }] });
  });

  it('is not the requester where there are approvers, however they are named, unless it is allowed', async () => {
    for (const approvers of [['carl', 'ada'], () => true]) {
      const desk = await waiting({ approval: { approvers } });
      await expect(desk.runtime.approvals.approve(desk.id, { by: 'carl' })).rejects.toMatchObject({
        code: 'forbidden',
      });
      expect(await refusalsOf(desk)).toMatchObject({ status: 'pending', refused: [{ by: 'carl' }] });
    }
    const allowed = await waiting({ approval: { approvers: ['carl'], requesterMayAnswer: true } });
    expect(await allowed.runtime.approvals.approve(allowed.id, { by: 'carl' })).toMatchObject({ status: 'approved' });
    const plain = await waiting({});
    expect(await plain.runtime.approvals.approve(plain.id, { by: 'carl' })).toMatchObject({ status: 'approved' });
    const forbidden = await waiting({ approval: { requesterMayAnswer: false } });
    await expect(forbidden.runtime.approvals.approve(forbidden.id, { by: 'carl' })).rejects.toMatchObject({
      code: 'forbidden',
    });
  });

  it('is nobody who has spoken to the run since, either', async () => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const lookUp = tool({ inputSchema: z.object({}), execute: () => gate.then(() => 'found') });
    const refund = tool({ inputSchema: z.object({}), needsApproval: true, execute: () => 'paid' });
    const agent = new DurableAgent({
      model: scriptedModel([
        { toolCalls: [{ toolName: 'lookUp', input: {} }] },
        { toolCalls: [{ toolName: 'refund', input: {} }] },
        'Done.',
        'Bye.',
      ]),
      tools: { lookUp, refund },
      durable: { approvals: { refund: { approvers: ['dora', 'ada'] } } },
    });
    const runtime = createTestRuntime({ agents: { support: agent } });
    const run = await runtime.start(agent, { prompt: 'Look', thread: 't', by: 'carl' });
    await runtime.start(agent, { prompt: 'And refund', thread: 't', by: 'dora', whenBusy: 'steer' });
    open();
    const { id } = await runtime.pendingApproval(run);
    await expect(runtime.approvals.approve(id, { by: 'dora' })).rejects.toMatchObject({ code: 'forbidden' });
    expect(await runtime.approvals.approve(id, { by: 'ada' })).toMatchObject({ status: 'approved' });
    await run.result();
    await runtime.close();
  });

  it('are two of three distinct people: neither one twice, nor the requester, nor a fourth', async () => {
    const desk = await waiting({ approval: { approvers: ['ada', 'ben', 'dan', 'carl'], needed: 2 } });
    const { approvals } = desk.runtime;
    expect(await approvals.approve(desk.id, { by: 'ada' })).toMatchObject({ status: 'pending' });
    await expect(approvals.approve(desk.id, { by: 'ada' })).rejects.toMatchObject({ code: 'approval_decided' });
    await expect(approvals.approve(desk.id, { by: 'carl' })).rejects.toMatchObject({ code: 'forbidden' });
    await expect(approvals.approve(desk.id, { by: 'eve' })).rejects.toMatchObject({ code: 'forbidden' });
    const { status, refused } = await refusalsOf(desk);
    expect([status, refused.map(({ by }) => by)]).toEqual(['pending', ['ada', 'carl', 'eve']]);
    expect(desk.refunds).toEqual([]);
    expect(await approvals.approve(desk.id, { by: 'dan' })).toMatchObject({ status: 'approved' });
    await desk.runtime.getRun(desk.run).result();
    expect(desk.refunds).toHaveLength(1);
    await expect(approvals.deny(desk.id, { by: 'ben' })).rejects.toMatchObject({ code: 'approval_decided' });
    expect((await refusalsOf(desk)).refused.at(-1)).toMatchObject({ by: 'ben', why: 'it was decided before' });
  });

  it('is asked of those to whom it is escalated too', async () => {
    const desk = await waiting({
      approval: {
        approvers: ['ada'],
        expiresIn: '1h',
        onExpire: { escalateTo: ({ by }) => by.roles.includes('boss') },
      },
    });
    await desk.runtime.clock.advance(HOUR + 1);
    await desk.runtime.until(desk.run, 'waiting');
    const { approvals } = desk.runtime;
    await expect(approvals.approve(desk.id, { by: 'eve' })).rejects.toMatchObject({ code: 'forbidden' });
    expect(await approvals.approve(desk.id, { by: { id: 'zoe', roles: ['boss'] } })).toMatchObject({
      status: 'approved',
    });
  });

  it('changes nothing of whose run it is: the call runs as the requester, and knows it', async () => {
    const requesters: unknown[] = [];
    const desk = await waiting({
      approval: { approvers: ['ada'] },
      onRefund: () => void requesters.push(getToolMetadata().requestedBy),
    });
    await desk.runtime.approvals.approve(desk.id, { by: 'ada' });
    await desk.runtime.getRun(desk.run).result();
    expect(requesters).toEqual(['carl']);
    const [run] = (await desk.runtime.list()).items;
    expect(run?.input).toMatchObject({ by: 'carl' });
    expect(desk.prompts.join()).not.toContain('ada');
  });

  it('is written so that the right form is clear', () => {
    const agentWith = (refund: object) => () => openDesk({ approval: refund });
    expect(agentWith({ needed: 0 })).toThrow('durable.approvals.refund.needed');
    expect(agentWith({ needed: 2, approvers: ['ada', 'ada'] })).toThrow('names 1 people, and 2 must approve');
    expect(agentWith({ approvers: 'ada' })).toThrow('neither a list of ids nor a function');
    expect(agentWith({ expiresIn: 'soon' })).toThrow('durable.approvals.refund.expiresIn');
    expect(agentWith({ onExpire: { escalateTo: ['boss'] } })).toThrow('nothing expires without');
    expect(agentWith({ expiresIn: 1, onExpire: 'approve' })).toThrow('neither "deny" nor { escalateTo }');
  });
});

it('an approval whose prompt fails is asked for without it', async () => {
  const desk = await waiting({
    approval: {
      prompt: () => {
        throw new Error('no words');
      },
    },
  });
  expect((await desk.runtime.approvals.get(desk.id)).prompt).toBeNull();
  expect(desk.runtime.logs.map(({ message }) => message)).toContainEqual(expect.stringContaining('prompt failed'));
});

describe('an approval that is remembered', () => {
  const input = z.object({ order: z.number(), note: z.object({ a: z.number(), b: z.number() }).optional() });

  function talk(
    settings: Pick<DurableAgentSettings<never, { refund: ReturnType<typeof refundTool> }>, 'toolApproval'>,
  ) {
    const refunds: unknown[] = [];
    const inputs: unknown[] = [];
    const agent = new DurableAgent({
      model: scriptedModel(({ prompt }) =>
        prompt.at(-1)?.role === 'user' ? { toolCalls: [{ toolName: 'refund', input: inputs.shift() }] } : 'Done.',
      ),
      tools: { refund: refundTool(refunds) },
      ...settings,
      durable: { approvals: { refund: { once: true } } },
    });
    const runtime = createTestRuntime({ agents: { support: agent } });
    /** Answers the status in which the run comes to rest. */
    const say = async (call: unknown, thread = 't'): Promise<string> => {
      inputs.push(call);
      const { id } = await runtime.start(agent, { prompt: 'Refund', thread });
      await runtime.clock.settleAll();
      return (await runtime.getRun(id).status) ?? '';
    };
    const answer = async (how: { approved?: boolean; input?: z.infer<typeof input> } = {}): Promise<void> => {
      const [open] = (await runtime.approvals.list()).items;
      const { approved = true, ...edit } = how;
      if (approved) await runtime.approvals.approve(open?.id ?? '', { by: 'ada', ...edit });
      else await runtime.approvals.deny(open?.id ?? '', { by: 'ada' });
      await runtime.getRun(open?.run ?? '').result();
    };
    return { runtime, refunds, say, answer };
  }

  function refundTool(refunds: unknown[]) {
    return tool({
      inputSchema: input,
      execute: (given) => {
        refunds.push(given);
        return 'refunded';
      },
    });
  }

  it.each([
    ['a status', { refund: 'user-approval' as const }],
    ['a function for each tool', { refund: () => 'user-approval' as const }],
    ['one function', () => 'user-approval' as const],
  ])('counts for equal calls of its thread, and for no others (%s)', async (_, toolApproval) => {
    const { runtime, refunds, say, answer } = talk({ toolApproval });
    expect(await say({ order: 7, note: { a: 1, b: 2 } })).toBe('waiting');
    await answer();
    expect(await say({ note: { b: 2, a: 1 }, order: 7 })).toBe('completed');
    expect(await say({ order: 8 })).toBe('waiting');
    await answer();
    expect(await say({ order: 7, note: { a: 1, b: 2 } })).toBe('completed');
    expect(await say({ order: 7, note: { a: 1, b: 2 } }, 'another thread')).toBe('waiting');
    expect(refunds).toHaveLength(4);
    await runtime.close();
  });

  it('is none that was denied, or approved with another input', async () => {
    const { runtime, say, answer, refunds } = talk({ toolApproval: { refund: 'user-approval' } });
    expect(await say({ order: 7 })).toBe('waiting');
    await answer({ approved: false });
    expect(await say({ order: 7 })).toBe('waiting');
    await answer({ input: { order: 9 } });
    expect(await say({ order: 7 })).toBe('waiting');
    expect(refunds).toEqual([{ order: 9 }]);
    await runtime.close();
  });
});
