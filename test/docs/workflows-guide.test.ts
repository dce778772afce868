/** The code of docs/workflows.md, run: each block there stands in this file word for word. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { child, getStepMetadata, shield, sleep, step, workflow } from 'everturn';
import { createTestRuntime } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { codeBlocks, page } from './pages.ts';

const reserve = vi.fn((item: string) => `parcel of ${item}`);
const charge = vi.fn((_customer: string, _options: { key: string }) => 40);
const send = vi.fn((_parcel: string, _invoice: string) => true);
const release = vi.fn((_parcel: string) => true);
const writeInvoice = workflow('invoice', async ({ customer, paid }: { customer: string; paid: number }) =>
  step('write', () => `${customer} paid ${paid}`),
);

const order = workflow('order', async ({ customer, item }: { customer: string; item: string }) => {
  const parcel = await step('reserve', () => reserve(item));
  try {
    const paid = await step('charge', () => charge(customer, { key: getStepMetadata().idempotencyKey }), {
      retries: 5,
      timeout: '30s',
    });
    const [, invoice] = await Promise.all([sleep('1 hour'), child(writeInvoice, { customer, paid })]);
    await step('send', () => send(parcel, invoice));
    return parcel;
  } catch (error) {
    await shield(() => step('release', () => release(parcel)));
    throw error;
  }
});

let runtime: TestRuntime;
beforeEach(() => {
  vi.clearAllMocks();
  runtime = createTestRuntime({ workflows: [order, writeInvoice], patienceMs: 15_000 });
});
afterEach(() => runtime.close());

describe('docs/workflows.md', () => {
  it('shows code that is run', () => {
    const own = readFileSync(join(import.meta.dirname, 'workflows-guide.test.ts'), 'utf8').replaceAll(/^ +/gm, '');
    const blocks = codeBlocks(page('docs/workflows.md').text).filter(({ language }) => language === 'ts');
    expect(blocks).toHaveLength(2);
    expect(blocks.filter(({ code }) => !own.includes(code.replaceAll(/^ +/gm, '')))).toEqual([]);
  });

  it('sends after an hour what was reserved and charged once, through a death', async () => {
    vi.spyOn(console, 'log').mockReturnValue();
    const ended = start();
    await vi.waitFor(() => expect(charge).toHaveBeenCalledTimes(1));
    await runtime.until(runtime.getRun('order-1042'), 'waiting');
    await runtime.restart();
    await runtime.clock.advance('1 hour');
    await ended;
    expect(console.log).toHaveBeenCalledWith('parcel of lamp');
    expect([reserve, charge, send].map((each) => each.mock.calls.length)).toEqual([1, 1, 1]);
    expect(send).toHaveBeenCalledWith('parcel of lamp', 'ada paid 40');
  });

  it('releases what was reserved when it is cancelled', async () => {
    const ended = expect(start()).rejects.toMatchObject({ code: 'cancelled' });
    await vi.waitFor(() => expect(charge).toHaveBeenCalledTimes(1));
    await runtime.getRun('order-1042').cancel();
    await ended;
    expect(release).toHaveBeenCalledExactlyOnceWith('parcel of lamp');
  });
});

async function start(): Promise<void> {
  const run = await runtime.start(order, { id: 'order-1042', input: { customer: 'ada', item: 'lamp' } });
  console.log(await run.result());
}
