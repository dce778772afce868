/** A run of many segments: what its journal costs, and that it comes back whole. */

import { tool } from 'ai';
import { DurableAgent } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { ScriptedModel, TestRuntime } from 'everturn/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { AgentResult } from '../../src/agent/run/agent-state.ts';
import { expectSilentConsole } from '../support/silent-console.ts';

expectSilentConsole();

const runtimes: TestRuntime[] = [];

afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close()));
});

interface Office {
  runtime: TestRuntime;
  model: ScriptedModel;
  /** What was paid, in order. */
  paid: number[];
}

interface OfficeOptions {
  payments: number;
  /** Characters that each payment answers. */
  receipt?: number;
  /** Whether people are asked. */
  asks?: boolean;
}

/** An agent that pays one bill after another. */
function openOffice({ payments, receipt = 20, asks = true }: OfficeOptions): Office {
  const paid: number[] = [];
  const model = scriptedModel(({ prompt }) => {
    const done = prompt.flatMap((message) => (message.role === 'tool' ? message.content : [])).filter(isResult).length;
    if (done === payments) return 'All is paid.';
    return { text: `Bill ${done}. `, toolCalls: [{ toolCallId: `c${done}`, toolName: 'pay', input: { bill: done } }] };
  });
  const pay = tool({
    description: 'pay',
    inputSchema: z.object({ bill: z.number() }),
    execute: ({ bill }) => {
      paid.push(bill);
      return { bill, receipt: '#'.repeat(receipt) };
    },
  });
  const clerk = new DurableAgent({
    model,
    tools: { pay },
    stopWhen: () => false,
    ...(asks ? { toolApproval: { pay: 'user-approval' as const } } : {}),
  });
  const runtime = createTestRuntime({
    agents: { clerk },
    secret: 'the same in every test, and so are ids',
    patienceMs: 20_000,
  });
  runtimes.push(runtime);
  return { runtime, model, paid };
}

function isResult(part: { type: string }): boolean {
  return part.type === 'tool-result';
}

function begin({ runtime }: Office): Promise<unknown> {
  return runtime.start('clerk', { id: 'bills', prompt: 'Pay all bills.', thread: 't' });
}

async function approve({ runtime }: Office): Promise<void> {
  const { id } = await runtime.pendingApproval('bills');
  await runtime.approvals.approve(id, { by: 'ada' });
}

/** Approves in a new process, which has nothing of the run but what the store has. */
async function approveElsewhere(office: Office): Promise<void> {
  await office.runtime.pendingApproval('bills');
  await office.runtime.restart();
  await approve(office);
}

function resultOf({ runtime }: Office): Promise<AgentResult> {
  return runtime.getRun<AgentResult>('bills').result();
}

async function journalBytes({ runtime }: Office): Promise<number> {
  const loaded = await runtime.store.load('bills', 0);
  return (loaded?.events ?? []).reduce((sum, event) => sum + event.length, 0);
}

function expectWhole({ messages, uiMessage }: AgentResult, payments: number): void {
  const results = messages.flatMap((message) => (message.role === 'tool' ? message.content : [])).filter(isResult);
  expect(results.map((part) => ('toolCallId' in part ? part.toolCallId : null))).toEqual(
    Array.from({ length: payments }, (_, bill) => `c${bill}`),
  );
  const states = uiMessage.parts.flatMap((part) => ('state' in part && part.type === 'tool-pay' ? [part.state] : []));
  expect(states).toEqual(Array.from({ length: payments }, () => 'output-available'));
  expect(messages.at(-1)).toMatchObject({ role: 'assistant', content: [{ type: 'text', text: 'All is paid.' }] });
}

describe('the journal of a run with many approvals', () => {
  it('grows by the same for each of them, and the run comes back whole from it', async () => {
    const office = openOffice({ payments: 200 });
    await begin(office);
    const bytes: number[] = [];
    for (let count = 0; count < 200; count += 1) {
      await office.runtime.pendingApproval('bills');
      bytes.push(await journalBytes(office));
      await (count % 5 === 0 ? approveElsewhere(office) : approve(office));
    }
    expectWhole(await resultOf(office), 200);
    const [first = 0, middle = 0, last = 0] = [bytes[9], bytes[104], bytes[199]];
    expect((last - middle) / (middle - first)).toBeCloseTo(1, 1);
    expect(last).toBeLessThan(1_000_000);
    expect(office.paid).toHaveLength(200);
  }, 60_000);
});

describe('a run whose messages take more than a value may', () => {
  const payments = 30;
  const receipt = 100_000;

  it('goes on segment by segment', async () => {
    const office = openOffice({ payments, receipt });
    await begin(office);
    for (let count = 0; count < payments; count += 1) await approveElsewhere(office);
    expectWhole(await resultOf(office), payments);
    expect(JSON.stringify(office.model.calls.at(-1)?.prompt).length).toBeGreaterThan(payments * receipt);
  }, 60_000);

  it('goes on in one segment, and the thread after it', async () => {
    const office = openOffice({ payments, receipt, asks: false });
    await begin(office);
    expectWhole(await resultOf(office), payments);
    const next = await office.runtime.start('clerk', { id: 'more', prompt: 'Is all paid?', thread: 't' });
    expect(await next.result()).toMatchObject({ text: 'All is paid.' });
    expect((await office.runtime.thread('t')).uiMessages).toHaveLength(4);
  }, 60_000);
});

describe('a crash in a run of many segments', () => {
  it.each(['before', 'after'] as const)(
    '%s any of its commits changes nothing of what it says',
    async (when) => {
      const payments = 5;
      const whole = openOffice({ payments });
      await begin(whole);
      for (let count = 0; count < payments; count += 1) await approve(whole);
      const expected = await resultOf(whole);
      const { commits } = whole.runtime;
      expect(commits).toBeGreaterThan(2 * payments);
      for (let at = 1; at <= commits; at += 1) {
        const office = openOffice({ payments });
        if (when === 'before') office.runtime.crashBeforeCommit(at);
        else office.runtime.crashAfterCommit(at);
        await driveThroughCrash(office);
        const result = await resultOf(office);
        expect(result.messages, `commit ${at}`).toEqual(expected.messages);
        expect(result.uiMessage, `commit ${at}`).toEqual(expected.uiMessage);
        expect(new Set(office.paid).size, `commit ${at}`).toBe(payments);
        await office.runtime.close();
      }
    },
    120_000,
  );
});

/** Starts the run, answers what it asks, and begins the next life when this one has ended. */
async function driveThroughCrash(office: Office): Promise<void> {
  const { runtime } = office;
  const died = runtime.crashed().then(() => runtime.restart());
  await Promise.race([begin(office).catch(() => undefined), died]);
  for (;;) {
    const row = await runtime.store.get('bills');
    if (row?.endedAt !== null && row !== null) return;
    const [approval] = (await runtime.store.listHooks({ run: 'bills', kind: 'approval', status: ['open'] })).items;
    if (approval !== undefined) await approve(office).catch(() => died);
    else await new Promise((resolve) => setImmediate(resolve));
  }
}
