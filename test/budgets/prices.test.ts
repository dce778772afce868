import { DurableAgent } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import { describe, expect, it } from 'vitest';
import { nanoUsdOf } from '../../src/agent/turn/prices.ts';
import { createWorker, PRICES, scripted, start } from './kit.ts';

describe('what a turn costs', () => {
  const price = {
    inputPerMillion: 1.25,
    cachedInputPerMillion: 0.125,
    cacheWritePerMillion: 2,
    outputPerMillion: 10,
    reasoningPerMillion: 5,
  };

  it('is counted by kind of token, in whole billionths of a dollar', () => {
    const usage = {
      inputTokens: { total: 1_000, noCache: undefined, cacheRead: 600, cacheWrite: 100 },
      outputTokens: { total: 50, text: undefined, reasoning: 20 },
    };
    // 300 * 1.25 + 600 * 0.125 + 100 * 2 + 30 * 10 + 20 * 5 dollars per million
    expect(nanoUsdOf(usage, price)).toBe(1_050_000);
    expect(nanoUsdOf(usage, { inputPerMillion: 1, outputPerMillion: 1 })).toBe(1_050_000);
  });

  it('is not known where the provider says nothing', () => {
    const nothing = { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined };
    const usage = { inputTokens: nothing, outputTokens: { total: undefined, text: undefined, reasoning: undefined } };
    expect(nanoUsdOf(usage, price)).toBeNull();
    expect(nanoUsdOf({ ...usage, inputTokens: { ...nothing, total: 1 } }, price)).toBe(1_250);
  });

  it('stands in the ledger, whose totals are its exact sum', async () => {
    const worker = createWorker({
      turns: [1, 2, 0],
      durable: { prices: { dear: { inputPerMillion: 0.333, outputPerMillion: 0.077 } } },
    });
    const runtime = start(worker);
    for (const thread of ['a', 'b', 'a'])
      await (await runtime.start(worker.agent, { prompt: 'dig', thread, tenant: 'x' })).result();
    const { items } = await runtime.ledger({ tenant: 'x' });
    const sum = (of: 'nanoUsd' | 'inputTokens' | 'outputTokens' | 'toolCalls') =>
      items.reduce((all, row) => all + (row[of] ?? 0), 0);
    const totals = await runtime.ledgerTotals({ tenant: 'x' });
    expect(totals).toEqual({
      attempts: items.length,
      turns: 9,
      toolCalls: sum('toolCalls'),
      inputTokens: sum('inputTokens'),
      outputTokens: sum('outputTokens'),
      nanoUsd: sum('nanoUsd'),
      unpriced: 0,
    });
    expect(items.every(({ nanoUsd }) => Number.isInteger(nanoUsd))).toBe(true);
    const threads = await Promise.all(['a', 'b'].map((thread) => runtime.ledgerTotals({ thread, tenant: 'x' })));
    expect(threads.map(({ nanoUsd }) => nanoUsd).reduce((a, b) => a + b)).toBe(totals.nanoUsd);
  });

  it('is left open where nobody has said it and nothing limits dollars', async () => {
    const worker = createWorker({ turns: [0], modelId: 'unheard', durable: { budget: { turns: 5 } } });
    const runtime = start(worker);
    const run = await runtime.start(worker.agent, { prompt: 'dig' });
    await run.result();
    expect(await runtime.ledgerTotals({ run: run.id })).toMatchObject({ nanoUsd: 0, unpriced: 1 });
  });

  it('is not known where the provider counts what cannot be, and spoils no sum', async () => {
    const model = scriptedModel(
      [
        { text: 'One.', usage: { inputTokens: Number.NaN, outputTokens: -5 } },
        { text: 'Two.', usage: { inputTokens: 100, outputTokens: 10 } },
      ],
      { modelId: 'dear' },
    );
    const agent = new DurableAgent({ model, durable: { budget: { thread: { usd: 1 } } } });
    const runtime = createTestRuntime({ agents: { agent }, prices: PRICES });
    for (const prompt of ['one', 'two'])
      expect(await (await runtime.start(agent, { prompt, thread: 't' })).result()).toMatchObject({ turns: 1 });
    expect(await runtime.ledgerTotals({ thread: 't', tenant: null })).toMatchObject({
      turns: 2,
      inputTokens: 100,
      outputTokens: 10,
      nanoUsd: 2_000_000,
      unpriced: 1,
    });
    await runtime.close();
  });

  it("is that of the provider's model where both are named", async () => {
    const worker = createWorker({
      turns: [0],
      durable: { prices: { 'scripted:dear': { inputPerMillion: 0, outputPerMillion: 1 } } },
    });
    const runtime = start(worker);
    const run = await runtime.start(worker.agent, { prompt: 'dig' });
    await run.result();
    expect(await runtime.ledgerTotals({ run: run.id })).toMatchObject({ nanoUsd: 10_000 });
  });
});

describe('a model without a price, under a budget of dollars', () => {
  it.each([
    ['its model', { modelId: 'unheard', durable: { budget: { usd: 1 } } }],
    [
      'a fallback',
      { durable: { budget: { thread: { usd: 1 } }, fallbackModels: [scriptedModel(['x'], { modelId: 'unheard' })] } },
    ],
    [
      'a cheaper one',
      { durable: { budget: { usd: 1, cheaperModels: { mini: scriptedModel(['x'], { modelId: 'unheard' }) } } } },
    ],
  ])('is refused when the runtime is created: %s', (_, options) => {
    const worker = createWorker({ turns: [0], ...options });
    expect(() => createTestRuntime({ agents: { worker: worker.agent }, prices: PRICES })).toThrow(
      expect.objectContaining({ code: 'price_unknown', message: expect.stringContaining('"unheard"') }),
    );
  });

  it('fails the run before it is asked, where the call has chosen it', async () => {
    const asked: string[] = [];
    const unheard = scripted([0], { modelId: 'unheard', asked });
    const agent = new DurableAgent({
      model: scripted([0], { modelId: 'dear', asked }),
      prepareStep: () => ({ model: unheard }),
      durable: { budget: { usd: 1 } },
    });
    const runtime = createTestRuntime({ agents: { agent }, prices: PRICES });
    const run = await runtime.start(agent, { prompt: 'dig' });
    await expect(run.result()).rejects.toMatchObject({ cause: { code: 'price_unknown' } });
    expect(asked).toEqual([]);
    await runtime.close();
  });
});

describe('a budget that cannot be', () => {
  it.each([
    [{ tokens: 0 }, 'durable.budget.tokens: 0 is no number greater than 0'],
    [{ turns: 1.5 }, 'durable.budget.turns: 1.5 is no whole number'],
    [{ token: 5 }, 'durable.budget: it has no "token"'],
    [{ turns: 1, run: { turns: 2 } }, 'durable.budget.turns: it is a limit of the run, and so is durable.budget.run'],
    [{ thread: { wallClock: '1h' } }, 'durable.budget.thread: it has no "wallClock"'],
    [{ tenant: { turns: 1, per: 'week' } }, 'durable.budget.tenant.per: "week" is neither "day" nor "month"'],
    [{ wallClock: 'soon' }, 'durable.budget.wallClock'],
    [{ turns: 1, approval: { approvers: [''] } }, 'durable.budget.approval.approvers'],
    [{ turns: 1, cheaperModels: { mini: 3 } }, 'durable.budget.cheaperModels.mini: it is no model'],
  ])('%j is refused when it is written', (budget, message) => {
    expect(() => new DurableAgent({ model: scriptedModel(['x']), durable: { budget: budget as never } })).toThrow(
      message,
    );
  });

  it.each([
    [{ dear: { inputPerMillion: 1 } }, 'durable.prices["dear"].outputPerMillion: undefined is no number of dollars'],
    [{ dear: { inputPerMillion: 1, outputPerMillion: -1 } }, 'outputPerMillion: -1'],
    [{ dear: { input: 1 } }, 'it has no "input"'],
    [[], 'durable.prices: it is no table'],
  ])('nor can prices %j', (prices, message) => {
    expect(() => new DurableAgent({ model: scriptedModel(['x']), durable: { prices: prices as never } })).toThrow(
      message,
    );
  });
});
