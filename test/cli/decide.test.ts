import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentResult, Runtime } from 'everturn';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { storeFolder } from '../stores/sqlite-file.ts';
import { fillDesk, openDesk } from './desk.ts';
import type { FilledDesk } from './desk.ts';
import { everturn } from './everturn.ts';
import type { Outcome } from './everturn.ts';

let folder: ReturnType<typeof storeFolder>;
let filled: string;
let desk: FilledDesk;
let path: string;
let runtime: Runtime | undefined;
let copies = 0;
beforeAll(async () => {
  folder = storeFolder();
  filled = folder.path;
  desk = await fillDesk(filled);
}, 60_000);
afterAll(() => folder.remove());
beforeEach(() => {
  path = join(folder.folder, `copy-${(copies += 1)}.db`);
  copyFileSync(filled, path);
});
afterEach(async () => {
  await runtime?.close();
  runtime = undefined;
});

const cli = (...args: string[]): Promise<Outcome> => everturn(path, args);

/** A worker that starts now; answers what it paid. */
function goOn(isNewer = false): number[] {
  const paid: number[] = [];
  runtime = openDesk({ file: path, isNewer, paid: (amount) => paid.push(amount) });
  return paid;
}

const resultOf = async (run: string): Promise<AgentResult> =>
  (await runtime?.getRun<AgentResult>(run).result()) as AgentResult;

describe('everturn approve', () => {
  it('lets the tool run with the lower amount, and tells the model', async () => {
    const input = '{"orderId":1042,"amount":20}';
    const approved = await cli('approve', desk.refund.approval, '--input', input, '--by', 'ada');
    expect([approved.code, approved.stderr]).toEqual([0, '']);
    expect(approved.stdout).toContain(`is approved by ada with ${input}`);
    const paid = goOn();
    const { text, messages } = await resultOf(desk.refund.run);
    expect(paid).toEqual([20]);
    expect(text).toContain('"refunded":20');
    expect(JSON.stringify(messages)).toContain('The person who approved this call changed its input.');
    const page = (await cli('inspect', 'run', desk.refund.run)).stdout;
    expect(page).toMatch(/refund +completed +1 +\d.* edited \{"orderId":1042/);
    expect(page).toMatch(/approved +refund/);
    expect((await cli('inspect', 'run', desk.refund.run, '--json')).json()).toMatchObject({
      journal: { tools: [{ isEdited: false }, { input: { amount: 20 }, isEdited: true, output: { refunded: 20 } }] },
    });
    expect((await cli('inspect', 'events', desk.refund.run)).stdout).toMatch(
      /message_received .* approved by ada with/,
    );
  });

  it('refuses an input that the tool does not take, names the field, and leaves it to be decided', async () => {
    const refused = await cli('approve', desk.refund.approval, '--input', '{"orderId":1042,"amount":-1}', '--json');
    expect([refused.code, refused.stderr]).toEqual([1, '']);
    expect(refused.json()).toMatchObject({
      error: {
        code: 'payload_invalid',
        message: expect.stringContaining('amount') as string,
        details: { tool: 'refund' },
      },
    });
    expect((await cli('inspect', 'approvals', '--tool', 'refund')).stdout).toContain(desk.refund.approval);
  });

  it('needs as many people as the approval does, and none but its approvers', async () => {
    const { approval, run } = desk.closing;
    expect((await cli('approve', approval, '--by', 'eve')).stderr).toMatch(/approvers are ann, ben/);
    expect((await cli('approve', approval, '--by', 'ann')).stdout).toContain('1 of 2 people');
    expect((await cli('approve', approval, '--by', 'ben', '--json')).json()).toMatchObject({
      status: 'approved',
      run,
      answers: [{ by: 'ann' }, { by: 'ben' }],
    });
    const page = (await cli('inspect', 'approvals', approval)).stdout;
    expect(page).toMatch(/WHEN +WHAT +BY +FROM +WHY\n/);
    expect(page).toMatch(/refused +eve +cli +its approvers are ann, ben\n/);
    expect(page).toMatch(/approved +ann +cli *\n.* approved +ben +cli/);
    expect((await cli('inspect', 'approvals', approval, '--json')).json()).toMatchObject({
      audit: [{ type: 'requested' }, { type: 'refused', by: 'eve' }, { type: 'answered' }, { type: 'answered' }],
    });
    expect((await cli('inspect', 'approvals', 'apr_none')).stderr).toContain('There is no approval "apr_none"');
    goOn();
    expect((await resultOf(run)).text).toBe('It is closed.');
  });

  it('takes the first of two decisions, and tells the second who won', async () => {
    const { approval } = desk.refund;
    const outcomes = await Promise.all([
      cli('approve', approval, '--by', 'ann', '--json'),
      cli('deny', approval, '--by', 'ben', '--reason', 'no', '--json'),
    ]);
    const [won, lost] = outcomes.toSorted((a, b) => Number(a.code) - Number(b.code));
    expect([won?.code, lost?.code]).toEqual([0, 1]);
    const winner = won === outcomes[0] ? 'ann' : 'ben';
    expect(lost?.json()).toMatchObject({ error: { code: 'approval_decided', details: { by: winner } } });
  });
});

describe('everturn deny', () => {
  it('tells the model why, and the tool does not run', async () => {
    const denied = await cli('deny', desk.refund.approval, '--reason', 'The lamp is fine.', '--by', 'ada');
    expect([denied.code, denied.stdout]).toEqual([0, expect.stringContaining('is denied by ada')]);
    const paid = goOn();
    expect(JSON.stringify((await resultOf(desk.refund.run)).messages)).toContain('The lamp is fine.');
    expect(paid).toEqual([]);
    expect((await cli('inspect', 'run', desk.refund.run)).stdout).toMatch(/refund +denied .*"The lamp is fine."/);
  });
});

describe('everturn cancel', () => {
  it('asks a run to stop, which its worker does', async () => {
    const asked = await cli('cancel', desk.refund.run, '--json');
    expect(asked.json()).toMatchObject({ runId: desk.refund.run, cancelRequested: true });
    goOn();
    await expect(resultOf(desk.refund.run)).rejects.toMatchObject({ code: 'cancelled' });
    expect((await cli('cancel', desk.refund.run)).stdout).toContain('is cancelled');
  });

  it('ends a parked run at once, and takes ids that a shell would split', async () => {
    expect((await cli('cancel', 'torn-1', '--json')).json()).toMatchObject({ runId: 'torn-1', status: 'cancelled' });
    expect((await cli('cancel', 'has space')).code).toBe(0);
  });

  it('refuses for a run that ended otherwise', async () => {
    const refused = await cli('cancel', 'order-kid');
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('it is completed')]);
  });
});

describe('everturn resume', () => {
  it('lets a parked run go on once the code fits again', async () => {
    expect((await cli('resume', 'torn-1', '--json')).json()).toMatchObject({ runId: 'torn-1', status: 'ready' });
    goOn();
    expect(await runtime?.getRun('torn-1').result()).toBe('go on');
  });

  it('refuses for a run that is not parked', async () => {
    const refused = await cli('resume', 'order-1', '--json');
    expect(refused.code).toBe(1);
    expect(refused.json()).toMatchObject({ error: { code: 'invalid_argument', details: { status: 'waiting' } } });
  });
});
