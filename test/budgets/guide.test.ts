/** The code of docs/budgets.md, run: each block of TypeScript there stands in this file word for word. */

import { openai } from '@ai-sdk/openai';
import { tool } from 'ai';
import { createRuntime, DurableAgent } from 'everturn';
import type { AgentResult, LedgerEntry, RunHandle, Runtime } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { scriptedModel } from 'everturn/testing';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { z } from 'zod';

vi.mock('@ai-sdk/openai', () => ({
  openai: (modelId: string) =>
    scriptedModel(
      ({ prompt }) => {
        const usage = { inputTokens: 1_000_000, outputTokens: 0 };
        const turns = prompt.filter(({ role }) => role === 'assistant').length;
        return turns < 3 ? { toolCalls: [{ toolName: 'search', input: {} }], usage } : { text: 'Found.', usage };
      },
      { modelId },
    ),
}));

const tellSlack = vi.fn();
const search = tool({ inputSchema: z.object({}), execute: () => 'nothing yet' });
const planOf = async (tenant: string): Promise<number> => (tenant === 'acme' ? 100 : 1);

function open() {
  const store = memoryStore();
  const research = new DurableAgent({
    model: openai('gpt-5'),
    tools: { search },
    durable: {
      budget: {
        run: { usd: 2, turns: 40, wallClock: '1 hour' },
        thread: { usd: 10 },
        cheaperModels: { mini: openai('gpt-5-mini') },
        approval: { approvers: ({ by }) => by.roles.includes('lead'), expiresIn: '1 day' },
      },
      onApprovalRequested: tellSlack,
    },
  });

  const runtime = createRuntime({
    store,
    agents: { research },
    prices: {
      'gpt-5': { inputPerMillion: 1.25, cachedInputPerMillion: 0.125, outputPerMillion: 10 },
      'gpt-5-mini': { inputPerMillion: 0.25, cachedInputPerMillion: 0.025, outputPerMillion: 2 },
    },
    budget: { tenant: async (tenant) => ({ usd: await planOf(tenant), per: 'month' }) },
  });
  onTestFinished(() => runtime.close());
  return { runtime, research };
}

async function answerBudgets(runtime: Runtime, by: string): Promise<void> {
  const { items } = await runtime.approvals.list({ tool: 'budget' });
  for (const { id, budget } of items) {
    const isSmall = budget?.crossed.every(({ of, limit, used }) => of === 'run' && limit === 'usd' && used < 5);
    if (isSmall === true) await runtime.approvals.approve(id, { by, input: { raise: { usd: 1 }, model: 'mini' } });
    else await runtime.approvals.deny(id, { by, reason: 'too dear' });
  }
}

async function whyStopped(run: RunHandle<AgentResult>): Promise<string> {
  const { budget, text } = await run.result();
  if (budget?.stopped == null) return text;
  const { by, crossed } = budget.stopped;
  return `${by ?? 'nobody'} stopped it: ${crossed.map(({ of, limit, used }) => `${of} ${limit} ${used}`).join(', ')}`;
}

async function bill(runtime: Runtime, tenant: string): Promise<string> {
  const { nanoUsd, turns, unpriced } = await runtime.ledgerTotals({ tenant, period: '2026-11' });
  const rows: LedgerEntry[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await runtime.ledger({ tenant, ...(cursor === undefined ? {} : { cursor }) });
    rows.push(...page.items);
    if (page.cursor === null) break;
    cursor = page.cursor;
  }
  return `${turns} turns, $${nanoUsd / 1e9}, ${unpriced} unpriced, ${rows.length} rows`;
}

describe('docs/budgets.md', () => {
  const asked = async (runtime: Runtime): Promise<string> =>
    vi.waitFor(async () => {
      const [open] = (await runtime.approvals.list({ tool: 'budget' })).items;
      expect(open).toBeDefined();
      return open?.id ?? '';
    });

  it('asks those who lead, and goes on with what they have said', async () => {
    const { runtime, research } = open();
    const run = await runtime.start(research, { prompt: 'Look.', tenant: 'acme' });
    const id = await asked(runtime);
    expect(tellSlack).toHaveBeenCalled();
    await expect(answerBudgets(runtime, 'ann')).rejects.toMatchObject({ code: 'forbidden' });
    const ada = { id: 'ada', roles: ['lead'] };
    await runtime.approvals.approve(id, { by: ada, input: { raise: { usd: 1 }, model: 'mini' } });
    expect(await whyStopped(run)).toBe('Found.');
    const { items } = await runtime.ledger({ run: run.id });
    expect(items.map(({ model }) => model)).toEqual(['gpt-5', 'gpt-5', 'gpt-5-mini', 'gpt-5-mini']);
    const months = new Date().toISOString().startsWith('2026-11') ? '4 turns, $3' : '0 turns, $0';
    expect(await bill(runtime, 'acme')).toBe(`${months}, 0 unpriced, 4 rows`);
  });

  it('stops what is too dear', async () => {
    const { runtime, research } = open();
    const run = await runtime.start(research, { prompt: 'Look.', tenant: 'small' });
    const id = await asked(runtime);
    await runtime.approvals.deny(id, { by: { id: 'ada', roles: ['lead'] }, reason: 'too dear' });
    expect(await whyStopped(run)).toBe('ada stopped it: tenant usd 1.25');
  });

  const read = (path: string): string => readFileSync(join(import.meta.dirname, path), 'utf8');
  const own = read('guide.test.ts').replaceAll(/^ +/gm, '');
  const blocks = [...read('../../docs/budgets.md').matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code ?? '');
  it.each(blocks)('shows code that is run: %j', (code) => {
    expect(own).toContain(code.replaceAll(/^ +/gm, ''));
  });
});
