import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { storeFolder } from '../stores/sqlite-file.ts';
import { fillDesk } from './desk.ts';
import type { FilledDesk } from './desk.ts';
import { callEverturn, everturn, rowsOf, startEverturn } from './everturn.ts';
import type { Outcome } from './everturn.ts';

let folder: ReturnType<typeof storeFolder>;
let desk: FilledDesk;
beforeAll(async () => {
  folder = storeFolder();
  desk = await fillDesk(folder.path);
}, 60_000);
afterAll(() => folder.remove());

const inspect = (...args: string[]): Promise<Outcome> => everturn(folder.path, ['inspect', ...args]);

const inspectHere = (...args: string[]): Promise<Outcome> => callEverturn(['inspect', ...args, '--store', folder.path]);

async function idsOf(...filters: string[]): Promise<string[]> {
  const { items } = (await inspectHere('runs', ...filters, '--json')).json() as { items: Array<{ id: string }> };
  return items.map(({ id }) => id);
}

describe('everturn inspect runs', () => {
  it('shows a line for each run, newest first, with what it waits for or came to', async () => {
    const { code, stdout, stderr } = await inspect('runs');
    expect([code, stderr]).toEqual([0, '']);
    const rows = new Map(rowsOf(stdout).map(([id, ...cells]) => [id, cells.join(' | ')]));
    expect([...rows.keys()].at(-1)).toBe(desk.refund.run);
    expect(rows.get(desk.refund.run)).toMatch(/^waiting \| support \| chat_7 \| (now|.+ ago) \| approval of refund$/);
    expect(rows.get('order-1')).toMatch(/waiting \| order .*hook:\w+$/);
    expect(rows.get(desk.nap)).toMatch(/waiting \| nap .*sleep, due in 3 h$/);
    expect(rows.get(desk.broken)).toMatch(/failed \| broken .*the warehouse is on fire$/);
    expect(rows.get('torn-1')).toMatch(/parked \| torn .*divergence$/);
    expect(rows.get("'has space'")).toMatch(/^cancelled \| nap/);
  });

  it('fits 100 columns', async () => {
    const lines = (await inspectHere('runs')).stdout.split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  it.each<[filters: string[], ids: () => string[]]>([
    [['--status', 'parked,failed'], () => ['torn-1', desk.broken]],
    [['--status', 'parked', '--status', 'failed'], () => ['torn-1', desk.broken]],
    [['--workflow', 'order'], () => ['order-1']],
    [['--thread', 'chat_8'], () => [desk.closing.run]],
    [['--tenant', 'acme'], () => [desk.refund.run]],
    [['--no-tenant', '--workflow', 'support'], () => [desk.hello, desk.closing.run]],
    [['--attribute', 'plan=pro', '--attribute', 'city=Oslo'], () => [desk.refund.run]],
    [['--attribute', 'plan=pro', '--attribute', 'city=Rome'], () => []],
    [['--error', 'run_failed'], () => [desk.broken]],
    [['--since', '1 hour', '--workflow', 'torn'], () => ['torn-1']],
    [['--since', '2999-01-01'], () => []],
  ])('takes %j', async (filters, ids) => {
    expect(await idsOf(...filters)).toEqual(ids());
  });

  it('says so if there is none', async () => {
    expect((await inspectHere('runs', '--workflow', 'none')).stdout).toBe('No runs.\n');
  });

  it('goes on where the page before ended', async () => {
    const all = await idsOf();
    const first = await inspectHere('runs', '--limit', '4');
    const cursor = /--cursor (\d+)/.exec(first.stdout)?.[1] ?? '';
    const shown = rowsOf(first.stdout).slice(0, 4);
    expect(shown.map(([id]) => id?.replaceAll("'", ''))).toEqual(all.slice(0, 4));
    expect(await idsOf('--limit', '4', '--cursor', cursor)).toEqual(all.slice(4, 8));
  });
});

describe('everturn inspect run', () => {
  it('shows the row, what it waits for and what it did', async () => {
    const { code, stdout } = await inspect('run', desk.refund.run);
    expect(code).toBe(0);
    expect(stdout.split('\n')[0]).toBe(`${desk.refund.run}  waiting`);
    expect(stdout).toMatch(/thread +chat_7\n +tenant +acme\n +attributes +plan=pro city=Oslo/);
    expect(stdout).toContain('waits for  approval of refund {"orderId":1042,"amount":89}');
    expect(stdout).toContain(`\n             everturn approve ${desk.refund.approval}\n`);
    expect(stdout).toMatch(/journal +4 events, 2 turns, 2 tool calls\n +tokens +20 in, 10 out/);
    expect(stdout).toMatch(/readOrder +completed +1 +[\d.]+ m?s +\{"orderId":1042\} +\{"orderId":1042,"item":"lamp"/);
    expect(stdout).toMatch(/refund +waiting +\{"orderId":1042,"amount":89\}\n/);
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  it('gives the same as JSON, with the fields of the HTTP API', async () => {
    const run = (await inspect('run', desk.refund.run, '--json')).json() as Record<string, unknown>;
    expect(run).toMatchObject({
      id: desk.refund.run,
      status: 'waiting',
      tenant: 'acme',
      attributes: { plan: 'pro', city: 'Oslo' },
      waits: [{ kind: 'approval', approvalId: desk.refund.approval, input: { orderId: 1042, amount: 89 } }],
      journal: {
        events: 4,
        tokens: { input: 20, output: 10 },
        turns: [
          { key: 'agent#0/t0', model: 'scripted', attempts: 1, calls: ['readOrder'] },
          { key: 'agent#0/t1', model: 'scripted', attempts: 1, calls: ['refund'] },
        ],
        tools: [
          { tool: 'readOrder', status: 'completed', attempts: 1, output: { total: 89 } },
          { tool: 'refund', status: 'open' },
        ],
      },
      approvals: [{ id: desk.refund.approval, status: 'pending' }],
      children: [],
    });
  });

  it('shows the steps and children of a workflow', async () => {
    const { stdout } = await inspect('run', 'order-1');
    expect(stdout).toMatch(/reserve +completed +1 +\{ item: 'lamp', at: 1970-01-01T00:00:00.000Z \}/);
    expect(stdout).toMatch(/Children\n.*\norder-kid +completed +kid/);
    expect((await inspectHere('run', 'order-kid')).stdout).toMatch(/parent +order-1\n[^]*result +42\n/);
  });

  it('shows why a run is parked and how it goes on', async () => {
    const { stdout } = await inspectHere('run', 'torn-1');
    expect(stdout).toMatch(/parked +divergence\n +key: first\n +recorded: step_completed\n +asked: "second"/);
    expect(stdout).toContain('everturn resume torn-1');
  });

  it('shows a failure, with its stack where asked to', async () => {
    expect((await inspectHere('run', desk.broken)).stdout).toMatch(/error +the warehouse is on fire\n/);
    expect((await inspect('run', desk.broken, '--full')).stdout).toMatch(
      /FatalError: the warehouse is on fire\n +at .*desk\.ts/,
    );
  });

  it('shows an attempt that is to be repeated', async () => {
    const { stdout } = await inspectHere('run', desk.stubborn);
    expect(stdout).toMatch(/waits for +sleep, due in 2 h/);
    expect(stdout).toMatch(/reach +retrying +1 +RetryableError: busy/);
  });

  it('lets nothing of what a user wrote act upon the terminal', async () => {
    const { stdout } = await inspect('run', desk.hello, '--full');
    expect(stdout).toContain(String.raw`\u001b[31mred`);
    expect(stdout).toContain('日本語');
    expect(['\u001b', '\u202e'].filter((each) => stdout.includes(each))).toEqual([]);
  });
});

describe('everturn inspect events', () => {
  it('shows a line for each event: position, time, type, key, attempt, how long it took, what it says', async () => {
    const { stdout } = await inspect('events', desk.refund.run);
    const [, head, ...lines] = stdout.trimEnd().split('\n');
    expect(head?.trim().split(/ +/)).toEqual(['SEQ', 'TIME', 'TYPE', 'KEY', 'TRY', 'TOOK', 'WHAT']);
    expect(lines).toEqual([
      expect.stringMatching(/^ +0 \d\d:\d\d:\d\d\.\d{3} turn_completed +agent#0\/t0 +1 +\+\d.* readOrder\(/),
      expect.stringMatching(/^ +1 .* tool_completed +agent#0\/t0\/tool:call_\w+ +1 +[\d.]+ m?s readOrder \{"orderId"/),
      expect.stringMatching(/^ +2 .* turn_completed +agent#0\/t1 +1 +\+\d.* refund\(/),
      expect.stringMatching(/^ +3 .* segment_completed +agent#0 .* 2 turns so far, 1 open$/),
    ]);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  it('shows whole values where asked to', async () => {
    const { stdout } = await inspectHere('events', 'order-1', '--full');
    expect(stdout).toMatch(
      /step_completed.*\n +key +reserve\n +value \{ item: 'lamp', at: 1970-01-01T00:00:00.000Z \}/,
    );
  });

  it('gives JSON with values only where asked to', async () => {
    type Events = { run: string; items: Array<{ seq: number; type: string; value?: unknown }> };
    const brief = (await inspectHere('events', 'order-1', '--json')).json() as Events;
    expect(brief.items.map(({ seq, type }) => [seq, type])).toEqual([
      [0, 'step_completed'],
      [1, 'timer_started'],
      [2, 'timer_fired'],
      [3, 'child_started'],
      [4, 'message_received'],
      [5, 'hook_created'],
    ]);
    expect(brief.items[0]).not.toHaveProperty('value');
    const full = (await inspectHere('events', 'order-1', '--json', '--full')).json() as Events;
    expect(full.items[0]?.value).toEqual({ item: 'lamp', at: '1970-01-01T00:00:00.000Z' });
  });
});

describe('everturn inspect approvals', () => {
  it('shows what waits, each with its whole input and who may answer', async () => {
    const { stdout } = await inspect('approvals');
    expect(stdout).toMatch(
      new RegExp(`${desk.refund.approval} +pending +refund +.* ${desk.refund.run}\n +{"orderId":1042,"amount":89}\n`),
    );
    expect(stdout).toMatch(new RegExp(`${desk.closing.approval} +pending +close`));
    expect(stdout).toContain('approvers: ann, ben\n  0 of 2 approvals');
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  it.each<[filters: string[], ids: () => string[]]>([
    [['--tool', 'close'], () => [desk.closing.approval]],
    [['--thread', 'chat_7'], () => [desk.refund.approval]],
    [['--tenant', 'acme'], () => [desk.refund.approval]],
    [['--no-tenant'], () => [desk.closing.approval]],
    [['--status', 'decided'], () => []],
  ])('takes %j', async (filters, ids) => {
    const { items } = (await inspectHere('approvals', ...filters, '--json')).json() as { items: Array<{ id: string }> };
    expect(items.map(({ id }) => id)).toEqual(ids());
  });
});

it('colours are for terminals, and for those who insist', async () => {
  expect((await inspect('runs')).stdout).not.toContain('\u001b');
  expect((await everturn(folder.path, ['inspect', 'runs'], { FORCE_COLOR: '1' })).stdout).toContain(
    '\u001b[31mparked\u001b',
  );
  expect((await everturn(folder.path, ['inspect', 'runs'], { NO_COLOR: '1' })).stdout).not.toContain('\u001b');
});

it('takes the store from the environment', async () => {
  const env = { EVERTURN_STORE: `sqlite:${folder.path}` };
  const { code, stdout } = await startEverturn(['inspect', 'runs', '--workflow', 'order'], env).ended;
  expect([code, stdout]).toEqual([0, expect.stringContaining('order-1')]);
});

it('looking changes no byte of the file', async () => {
  const before = readFileSync(folder.path);
  for (const args of [['runs'], ['run', 'order-1'], ['events', 'order-1'], ['approvals']]) await inspect(...args);
  expect(readFileSync(folder.path).equals(before)).toBe(true);
});
