/** The code of docs/questions.md, run: each block of TypeScript there stands in this file word for word. */

import { openai } from '@ai-sdk/openai';
import { tool } from 'ai';
import { ask, DurableAgent, getToolMetadata, step } from 'everturn';
import type { Approval, Runtime } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';

vi.mock('@ai-sdk/openai', () => ({
  openai: () =>
    scriptedModel(({ prompt, toolResults, tools }) =>
      prompt.at(-1)?.role === 'tool'
        ? JSON.stringify(toolResults)
        : { toolCalls: [{ toolName: tools[0] ?? '', input: { to: 'Rome', order: 7, euros: 40 } }] },
    ),
}));

const book = vi.fn((flight: object) => `booked ${JSON.stringify(flight)}`);
const bank = { find: vi.fn(async (_key: string): Promise<string | undefined> => undefined) };
const payBack = vi.fn((_key: string): Promise<string> => new Promise(() => {}));

const fly = tool({
  description: 'Book a flight',
  inputSchema: z.object({ to: z.string() }),
  execute: async ({ to }) => {
    const seat = await ask({ prompt: `Which seat to ${to}?`, options: ['aisle', 'window'] });
    const passenger = await ask({
      prompt: 'Who flies?',
      schema: z.object({ name: z.string().min(1), born: z.iso.date() }),
      expiresIn: '2 days',
    });
    return step('book', () => book({ to, seat, ...passenger }));
  },
});

async function answerSeats(runtime: Runtime, thread: string): Promise<void> {
  const { items } = await runtime.questions.list({ thread });
  for (const { id, prompt } of items) {
    if (prompt.startsWith('Which seat')) await runtime.questions.answer(id, { answer: 'aisle', by: 'ada' });
  }
}

const refund = tool({
  inputSchema: z.object({ order: z.number(), euros: z.number() }),
  execute: () => payBack(getToolMetadata().idempotencyKey),
});

const cashier = new DurableAgent({
  model: openai('gpt-5-mini'),
  tools: { refund },
  durable: {
    tools: {
      refund: {
        onInDoubt: 'ask',
        describe: ({ order, euros }) => `refund of ${euros} EUR for order ${order}: did it happen?`,
        probe: async (_, { idempotencyKey }) => {
          const paid = await bank.find(idempotencyKey);
          return paid === undefined ? 'unknown' : { happened: true, result: paid };
        },
      },
    },
  },
});

async function settle(runtime: Runtime, doubt: Approval, seen: 'paid' | 'not paid' | 'unclear'): Promise<void> {
  const { approve, deny } = runtime.approvals;
  if (seen === 'paid') await approve(doubt.id, { by: 'ada', result: 'paid back, says the bank' });
  else if (seen === 'not paid') await approve(doubt.id, { by: 'ada' });
  else await deny(doubt.id, { by: 'ada', reason: 'the bank is asked; do not promise anything' });
}

const travel = new DurableAgent({ model: openai('gpt-5-mini'), tools: { fly } });

let runtime: TestRuntime;
beforeEach(() => {
  vi.resetAllMocks();
  runtime = createTestRuntime({ agents: { travel, cashier } });
});
afterEach(() => runtime.close());

describe('docs/questions.md', () => {
  it('shows code that stands here word for word, in at most 150 lines', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/questions.md'), 'utf8');
    const source = readFileSync(import.meta.filename, 'utf8');
    const blocks = [...page.matchAll(/^```ts\n([^]*?)^```$/gm)].map((match) => match[1] ?? '');
    expect(blocks).toHaveLength(4);
    for (const block of blocks) expect(source).toContain(block.trim());
    expect(page.trimEnd().split('\n').length).toBeLessThanOrEqual(150);
  });

  it('asks for a seat and a passenger, and books', async () => {
    const run = await runtime.start(travel, { prompt: 'To Rome', thread: 'trip' });
    await runtime.until(run, 'waiting');
    await answerSeats(runtime, 'trip');
    await runtime.until(run, 'waiting');
    const [who] = (await runtime.questions.list({ thread: 'trip' })).items;
    await runtime.questions.answer(who?.id ?? '', { answer: { name: 'Kim', born: '2001-02-03' }, by: 'kim' });
    expect((await run.result()).text).toContain('booked');
    expect(book.mock.calls).toEqual([[{ to: 'Rome', seat: 'aisle', name: 'Kim', born: '2001-02-03' }]]);
  });

  async function interrupted() {
    const run = await runtime.start(cashier, { prompt: 'Refund order 7' });
    await vi.waitFor(() => expect(payBack).toHaveBeenCalledTimes(1));
    await runtime.restart();
    return run;
  }

  it('looks after a crash whether the refund happened, by the key that it had', async () => {
    bank.find.mockResolvedValueOnce('paid back on Sunday');
    const run = await interrupted();
    expect((await run.result()).text).toContain('paid back on Sunday');
    expect(bank.find.mock.calls).toEqual(payBack.mock.calls);
  });

  it.each([
    ['paid', 'paid back, says the bank', 1],
    ['not paid', 'paid now', 2],
    ['unclear', 'the bank is asked; do not promise anything', 1],
  ] as const)('asks a person, who finds that it is %s', async (seen, told, calls) => {
    const run = await interrupted();
    payBack.mockResolvedValueOnce('paid now');
    const doubt = await runtime.pendingApproval(run);
    expect(doubt.prompt).toBe('refund of 40 EUR for order 7: did it happen?');
    await settle(runtime, doubt, seen);
    const { messages } = await run.result();
    expect(JSON.stringify(messages)).toContain(told);
    expect(payBack).toHaveBeenCalledTimes(calls);
  });
});
