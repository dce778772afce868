import { tool } from 'ai';
import { DurableAgent, sleep, workflow } from 'everturn';
import type { DurableToolSettings } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { z } from 'zod';

const HOUR = 60 * 60_000;
const payment = z.object({ order: z.number(), euros: z.number() });
type Payment = z.infer<typeof payment>;

interface Desk {
  runtime: TestRuntime;
  /** Attempts of the refund; the first one never ends. */
  payBack: ReturnType<typeof vi.fn<() => Promise<string>>>;
  support: DurableAgent<never, { refund: ReturnType<typeof refundTool>; nap: typeof nap }>;
}

const nap = tool({
  inputSchema: z.object({}),
  execute: async () => {
    await sleep('1 hour');
    return 'rested';
  },
});

function refundTool(payBack: () => Promise<string>) {
  return tool({ inputSchema: payment, execute: () => payBack() });
}

function openDesk(refund: DurableToolSettings<Payment>, approvers?: string[]): Desk {
  const payBack = vi.fn(async () => `paid ${payBack.mock.calls.length}`);
  payBack.mockImplementationOnce(() => new Promise(() => {}));
  const support = new DurableAgent({
    id: 'support',
    model: scriptedModel(({ prompt }) =>
      prompt.at(-1)?.role === 'tool'
        ? JSON.stringify(prompt.at(-1))
        : {
            toolCalls: [
              { toolName: 'refund', input: { order: 7, euros: 40 } },
              { toolName: 'nap', input: {} },
            ],
          },
    ),
    tools: { refund: refundTool(payBack), nap },
    durable: { tools: { refund }, ...(approvers === undefined ? {} : { approvals: { refund: { approvers } } }) },
  });
  const delegate = workflow('delegate', async () => (await support.generate({ prompt: 'refund' })).text);
  const runtime = createTestRuntime({ agents: { support }, workflows: { delegate } });
  onTestFinished(() => runtime.close());
  return { runtime, payBack, support };
}

/** A run whose process died while the refund was made. */
async function interrupted(desk: Desk, target: 'support' | 'delegate' = 'support'): Promise<string> {
  const { id } = await desk.runtime.start(target, target === 'support' ? { prompt: 'refund' } : {});
  await vi.waitFor(() => expect(desk.payBack).toHaveBeenCalledTimes(1));
  await desk.runtime.restart();
  return id;
}

async function answerOf({ runtime }: Desk, run: string): Promise<string> {
  await runtime.clock.advance(HOUR);
  await runtime.until(run, 'completed');
  const result = await runtime.getRun(run).result();
  return typeof result === 'string' ? result : (result as { text: string }).text;
}

describe('a person who is asked about an interrupted call', () => {
  it('has the time that it takes: the call does not run when something else wakes the run', async () => {
    const desk = openDesk({ onInDoubt: 'ask' });
    const run = await interrupted(desk);
    const doubt = await desk.runtime.pendingApproval(run);
    await desk.runtime.restart();
    await desk.runtime.clock.advance(HOUR);
    await desk.runtime.until(run, 'waiting');
    expect(desk.payBack).toHaveBeenCalledTimes(1);
    await desk.runtime.approvals.approve(doubt.id, { by: 'ada', result: 'the bank says yes' });
    expect(await answerOf(desk, run)).toContain('the bank says yes');
    expect(desk.payBack).toHaveBeenCalledTimes(1);
  });

  it('says that it failed, and it is not tried again though it has retries', async () => {
    const desk = openDesk({ onInDoubt: 'ask', retries: 2 });
    const run = await interrupted(desk);
    await desk.runtime.approvals.deny((await desk.runtime.pendingApproval(run)).id, { by: 'ada', reason: 'unknown' });
    expect(await answerOf(desk, run)).toMatch(/Cannot say whether the tool .*refund.* took effect.*unknown/);
    expect(desk.payBack).toHaveBeenCalledTimes(1);
  });

  it('lets it run again, with the retries that it has, and is not asked about those', async () => {
    const desk = openDesk({ onInDoubt: 'ask', retries: 2 });
    desk.payBack.mockRejectedValueOnce(new Error('busy'));
    const run = await interrupted(desk);
    await desk.runtime.approvals.approve((await desk.runtime.pendingApproval(run)).id, { by: 'ada' });
    await vi.waitFor(async () => {
      await desk.runtime.clock.advance(1_000);
      expect(desk.payBack).toHaveBeenCalledTimes(3);
    });
    expect(await answerOf(desk, run)).toContain('paid 3');
  });

  it('is told in words what may have happened, and may answer if the approvals of the tool let them', async () => {
    const describe = ({ euros, order }: Payment) => `refund of ${euros} EUR for order ${order}: did it happen?`;
    const desk = openDesk({ onInDoubt: 'ask', describe }, ['ben']);
    const run = await interrupted(desk);
    const { id, prompt, reason, approvers } = await desk.runtime.pendingApproval(run);
    expect({ prompt, approvers }).toEqual({
      prompt: 'refund of 40 EUR for order 7: did it happen?',
      approvers: ['ben'],
    });
    expect(reason).toContain(`idempotency key "${run}/agent#0/t0/tool:`);
    await expect(desk.runtime.approvals.approve(id, { by: 'ada', result: 1 })).rejects.toMatchObject({
      code: 'forbidden',
    });
    await desk.runtime.approvals.approve(id, { by: 'ben', result: 'it did' });
    expect(await answerOf(desk, run)).toContain('it did');
  });

  it('is asked though the description fails, and in no hurry: the timeout of the tool is that of its attempts', async () => {
    const describe = (): string => {
      throw new Error('no words');
    };
    const desk = openDesk({ onInDoubt: 'ask', timeout: '30s', describe });
    desk.payBack.mockImplementationOnce(() => new Promise(() => {}));
    const run = await interrupted(desk);
    const { id, prompt } = await desk.runtime.pendingApproval(run);
    expect(prompt).toBeNull();
    for (let minutes = 0; minutes < 3; minutes += 1) await desk.runtime.clock.advance(60_000);
    await desk.runtime.until(run, 'waiting');
    await desk.runtime.approvals.approve(id, { by: 'ada' });
    await vi.waitFor(() => expect(desk.payBack).toHaveBeenCalledTimes(2));
    await desk.runtime.clock.advance(31_000);
    expect(await answerOf(desk, run)).toMatch(/took longer than its timeout of 30000 ms/);
  });

  it('is asked of an agent that a workflow calls, too', async () => {
    const desk = openDesk({ onInDoubt: 'ask' });
    const run = await interrupted(desk, 'delegate');
    const doubt = await desk.runtime.pendingApproval(run);
    expect(doubt).toMatchObject({ question: 'in-doubt', tool: 'refund', agent: 'support' });
    await desk.runtime.approvals.approve(doubt.id, { by: 'ada', result: 'it did' });
    expect(await answerOf(desk, run)).toContain('it did');
    expect(desk.payBack).toHaveBeenCalledTimes(1);
  });
});

describe('a tool that looks for itself', () => {
  it.each(['retry', 'fail', 'ask'] as const)('finds that it happened, and nobody is asked (%s)', async (onInDoubt) => {
    const probe = vi.fn(async () => ({ happened: true as const, result: 'found at the bank' }));
    const desk = openDesk({ onInDoubt, probe });
    const run = await interrupted(desk);
    expect(await answerOf(desk, run)).toContain('found at the bank');
    expect(desk.payBack).toHaveBeenCalledTimes(1);
    expect(probe.mock.calls).toEqual([
      [
        { order: 7, euros: 40 },
        {
          idempotencyKey: expect.stringMatching(new RegExp(`^${run}/agent#0/t0/tool:`)),
          startedAt: expect.any(Date),
          signal: expect.any(AbortSignal),
        },
      ],
    ]);
  });

  it('runs again where it did not happen, with its retries', async () => {
    const desk = openDesk({ onInDoubt: 'fail', retries: 1, probe: () => ({ happened: false }) });
    desk.payBack.mockRejectedValueOnce(new Error('busy'));
    expect(await answerOf(desk, await interrupted(desk))).toContain('paid 3');
  });

  it.each([
    ['does not know', () => 'unknown' as const],
    ['fails', () => Promise.reject(new Error('the bank is closed'))],
    ['answers nonsense', () => ({ happened: 'perhaps' }) as never],
  ])('leaves it to onInDoubt where it %s', async (_, probe) => {
    const desk = openDesk({ onInDoubt: 'ask', probe });
    const run = await interrupted(desk);
    const { id } = await desk.runtime.pendingApproval(run);
    await desk.runtime.approvals.deny(id, { by: 'ada', reason: 'ask the bank' });
    expect(await answerOf(desk, run)).toContain('ask the bank');
    expect(desk.payBack).toHaveBeenCalledTimes(1);
  });

  it('looks once for each interruption, and is asked for no call that its process survived', async () => {
    const probe = vi.fn(() => 'unknown' as const);
    const desk = openDesk({ onInDoubt: 'ask', probe });
    const run = await interrupted(desk);
    const first = await desk.runtime.pendingApproval(run);
    await desk.runtime.restart();
    await desk.runtime.pendingApproval(run);
    expect(probe).toHaveBeenCalledTimes(1);
    desk.payBack.mockImplementationOnce(() => new Promise(() => {}));
    await desk.runtime.approvals.approve(first.id, { by: 'ada' });
    await vi.waitFor(() => expect(desk.payBack).toHaveBeenCalledTimes(2));
    await desk.runtime.restart();
    const second = await desk.runtime.pendingApproval(run);
    expect(second.id).not.toBe(first.id);
    expect(probe).toHaveBeenCalledTimes(2);
    await desk.runtime.approvals.approve(second.id, { by: 'ada' });
    expect(await answerOf(desk, run)).toContain('paid 3');

    const healthy = openDesk({ probe });
    healthy.payBack.mockReset().mockResolvedValue('paid at once');
    const { id } = await healthy.runtime.start('support', { prompt: 'refund' });
    expect(await answerOf(healthy, id)).toContain('paid at once');
    expect(probe).toHaveBeenCalledTimes(2);
  });

  it('may wait after the doubt, and its process may go', async () => {
    const desk = openDesk({ onInDoubt: 'fail', probe: () => ({ happened: false }) });
    desk.payBack.mockImplementation(async () => {
      await sleep('2 hours');
      return 'paid at last';
    });
    const run = await interrupted(desk);
    await desk.runtime.until(run, 'waiting');
    await desk.runtime.restart();
    await desk.runtime.clock.advance(HOUR);
    await desk.runtime.until(run, 'waiting');
    expect(await answerOf(desk, run)).toContain('paid at last');
  });

  it.each(['probe', 'describe'])('is refused at the definition if its %s is no function', (option) => {
    expect(() => openDesk({ [option]: 'yes' })).toThrow(`Cannot configure durable.tools.refund.${option}`);
  });
});
