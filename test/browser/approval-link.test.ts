import { tool } from 'ai';
import { createRuntime, DurableAgent } from 'everturn';
import type { ApprovalLinks } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { createApp, serve } from 'everturn/server';
import { scriptedModel } from 'everturn/testing';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { recordingLogger } from '../agent/run-kit.ts';
import { freePort } from '../support/free-port.ts';
import { launchChromium, noChromium } from './chromium.ts';
import { describeUnless } from '../support/describe-unless.ts';

/** A served app, and a run whose approval somebody has links to. */
async function openShop() {
  const refunds: unknown[] = [];
  const told = Promise.withResolvers<ApprovalLinks>();
  const agent = new DurableAgent({
    model: scriptedModel(({ prompt }) =>
      prompt.at(-1)?.role === 'user'
        ? { toolCalls: [{ toolName: 'refund', input: { order: 7, euros: 89 } }] }
        : JSON.stringify(prompt.at(-1)),
    ),
    tools: {
      refund: tool({
        inputSchema: z.object({ order: z.number(), euros: z.number() }),
        execute: (input) => refunds.push(input),
      }),
    },
    toolApproval: { refund: 'user-approval' },
    durable: {
      approvals: {
        refund: { prompt: ({ order, euros }) => `Pay ${euros} EUR back for order ${order}?`, expiresIn: '1 day' },
      },
      onApprovalRequested: async ({ approval }) => told.resolve(await approval.links({ to: 'ada@shop.example' })),
    },
  });
  const port = await freePort();
  const runtime = createRuntime({
    store: memoryStore(),
    agents: { support: agent },
    publicUrl: `http://127.0.0.1:${port}/api`,
    logger: recordingLogger().logger,
  });
  const server = await serve(createApp(runtime), { port });
  onTestFinished(async () => {
    await server.close();
    await runtime.close();
  });
  const run = await runtime.start(agent, { prompt: 'Refund order 7', by: 'carl' });
  return { links: await told.promise, run, refunds };
}

describeUnless(noChromium, 'the page behind a link, in Chromium without scripts', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(() => browser.close());

  const open = async (url: string) => {
    const page = await browser.newPage({ javaScriptEnabled: false });
    onTestFinished(() => page.close());
    await page.goto(url);
    return page;
  };

  it('asks, takes the approval, and tells whoever comes later', async () => {
    const { links, run, refunds } = await openShop();
    const [page, late] = [await open(links.approve), await open(links.deny)];
    expect(await page.innerText('h1')).toBe('Approve refund?');
    expect(await page.innerText('.question')).toBe('Pay 89 EUR back for order 7?');
    await page.getByRole('button', { name: 'Approve' }).click();
    expect(await page.innerText('h1')).toBe('This was approved');
    await run.result();
    expect(refunds).toEqual([{ order: 7, euros: 89 }]);
    await late.getByRole('button', { name: 'Deny' }).click();
    expect(await late.innerText('h1')).toBe('This was approved');
    expect(await late.innerText('main')).toContain('By ada@shop.example (approved');
    expect(refunds).toHaveLength(1);
  });

  it('takes a denial with its reason', async () => {
    const { links, run, refunds } = await openShop();
    const page = await open(links.deny);
    await page.getByLabel('Why? The model is told.').fill('The lamp is fine.');
    await page.getByRole('button', { name: 'Deny' }).click();
    expect(await page.innerText('h1')).toBe('This was denied');
    expect((await run.result()).text).toContain('The lamp is fine.');
    expect(refunds).toEqual([]);
  });
});
