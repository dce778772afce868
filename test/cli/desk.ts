/** Agents and workflows whose runs the command line looks at: each kind of wait, and each kind of end. */
import { setTimeout as delay } from 'node:timers/promises';
import { tool } from 'ai';
import {
  child,
  createHook,
  createRuntime,
  DurableAgent,
  FatalError,
  RetryableError,
  sleep,
  step,
  workflow,
} from 'everturn';
import type { RunInfo, Runtime, StartInput } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { scriptedModel } from 'everturn/testing';
import type { ModelCall, ScriptedAnswer } from 'everturn/testing';
import { z } from 'zod';
import { silentLogger } from '../support/silent-logger.ts';

export interface DeskOptions {
  file: string;
  /** What was deployed since: the workflow `torn` asks for another step than the one on record. */
  isNewer?: boolean;
  /** Told of each refund as it is paid. */
  paid?: (amount: number) => void;
  /** What the workflow `slow` waits for inside its step. */
  gate?: () => Promise<void>;
}

export function openDesk({ file, isNewer = false, paid = () => {}, gate = async () => {} }: DeskOptions): Runtime {
  const kid = workflow('kid', (n: number) => step('double', () => 2 * n));
  const order = workflow('order', async (item: string) => {
    const reserved = await step('reserve', () => ({ item, at: new Date(0) }));
    await sleep(1);
    const doubled = await child(kid, 21, { id: 'order-kid' });
    const payment = await createHook<{ euros: number }>({ token: `pay-${item}` });
    return { reserved, doubled, payment };
  });
  const nap = workflow('nap', async () => sleep('3 hours'));
  const broken = workflow('broken', () =>
    step('reach', () => {
      throw new FatalError('the warehouse is on fire');
    }),
  );
  const stubborn = workflow('stubborn', () =>
    step('reach', () => {
      throw new RetryableError('busy', { retryAfter: '2h' });
    }),
  );
  const torn = workflow('torn', async () => {
    await step(isNewer ? 'second' : 'first', () => 1);
    return createHook<string>({ token: 'torn' });
  });
  const slow = workflow('slow', () => step('wait at the gate', gate));
  const workflows = [kid, order, nap, broken, stubborn, torn, slow] as const;
  return createRuntime({
    store: sqliteStore(file),
    agents: { support: supportAgent(paid) },
    workflows,
    logger: silentLogger,
  });
}

function supportAgent(paid: (amount: number) => void) {
  const amount = z.object({ orderId: z.number().int(), amount: z.number().positive() });
  return new DurableAgent({
    model: scriptedModel(answer),
    tools: {
      readOrder: tool({
        description: 'Read an order',
        inputSchema: z.object({ orderId: z.number() }),
        execute: ({ orderId }) => ({ orderId, item: 'lamp', total: 89 }),
      }),
      refund: tool({
        description: 'Pay back',
        inputSchema: amount,
        execute: ({ orderId, amount }) => {
          paid(amount);
          return { orderId, refunded: amount };
        },
      }),
      close: tool({ description: 'Close the account', inputSchema: z.object({}), execute: () => 'closed' }),
    },
    toolApproval: { refund: 'user-approval', close: 'user-approval' },
    durable: { approvals: { close: { needed: 2, approvers: ['ann', 'ben'] } } },
  });
}

/** By what the user wants and what is known: the model of a repeated turn says the same again. */
function answer({ userText, toolResults }: ModelCall): ScriptedAnswer | string {
  if (/close/.test(userText)) {
    return 'close' in toolResults ? 'It is closed.' : { text: 'I ask.', toolCalls: [{ toolName: 'close', input: {} }] };
  }
  if (!/refund/.test(userText)) return `You said: ${userText}`;
  if ('refund' in toolResults) return `It is settled: ${JSON.stringify(toolResults['refund'])}`;
  const order = toolResults['readOrder'] as { total: number } | undefined;
  if (order === undefined)
    return { text: 'Let me look.', toolCalls: [{ toolName: 'readOrder', input: { orderId: 1042 } }] };
  return { text: 'I ask.', toolCalls: [{ toolName: 'refund', input: { orderId: 1042, amount: order.total } }] };
}

/** What the desk's runs are called. */
export interface FilledDesk {
  /** An agent's run that waits for the approval of a refund of 89. */
  refund: { run: string; approval: string };
  /** One that waits for two of ann and ben. */
  closing: { run: string; approval: string };
  hello: string;
  broken: string;
  stubborn: string;
  nap: string;
}

/** Beyond plain ASCII, and with what would turn a terminal red. */
export const NASTY = 'Hello \u001b[31mred\u001b[0m \u202e日本語';

/**
 * Fills a store with runs of each kind and leaves it; besides those answered for: `order-1` waits for a hook and has the child `order-kid`,
 * `torn-1` is parked, `has space` is cancelled.
 */
export async function fillDesk(file: string): Promise<FilledDesk> {
  const runtime = openDesk({ file });
  const start = async (name: string, options: StartInput): Promise<string> => (await runtime.start(name, options)).id;
  const refund = await start('support', {
    thread: 'chat_7',
    tenant: 'acme',
    attributes: { plan: 'pro', city: 'Oslo' },
    prompt: 'Please refund order 1042, the lamp arrived broken.',
  });
  const closing = await start('support', { thread: 'chat_8', prompt: 'Please close my account.' });
  const hello = await start('support', { prompt: NASTY });
  await start('order', { id: 'order-1', input: 'lamp' });
  const nap = await start('nap', {});
  const broken = await start('broken', {});
  const stubborn = await start('stubborn', {});
  await start('torn', { id: 'torn-1' });
  await start('nap', { id: 'has space' });
  await settled(runtime);
  await runtime.getRun('has space').cancel();
  await settled(runtime);
  const [first, second] = (await runtime.approvals.list()).items;
  const approvalOf = (run: string): string => [first, second].find((approval) => approval?.run === run)?.id ?? '';
  await runtime.close();
  await tearRun(file);
  return {
    refund: { run: refund, approval: approvalOf(refund) },
    closing: { run: closing, approval: approvalOf(closing) },
    hello,
    broken,
    stubborn,
    nap,
  };
}

/** The code was changed under `torn-1`, which parks it. */
async function tearRun(file: string): Promise<void> {
  const runtime = openDesk({ file, isNewer: true });
  await runtime.resumeHook('torn', 'go on');
  await settled(runtime);
  await runtime.close();
}

/** Every run has ended, or waits for more than a moment. */
async function settled(runtime: Runtime): Promise<void> {
  const isBusy = ({ status, dueAt }: RunInfo): boolean =>
    status !== 'waiting' || (dueAt !== null && dueAt < Date.now() + 60_000);
  for (;;) {
    const { items } = await runtime.list({ status: ['ready', 'running', 'waiting'] });
    if (!items.some(isBusy)) return;
    await delay(5);
  }
}
