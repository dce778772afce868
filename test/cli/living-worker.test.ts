import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startChild } from '../support/child.ts';
import type { Child } from '../support/child.ts';
import { storeFolder } from '../stores/sqlite-file.ts';
import type { DeskMessage } from './desk-process.ts';
import { callEverturn, everturn, startEverturn } from './everturn.ts';
import type { Outcome } from './everturn.ts';

let folder: ReturnType<typeof storeFolder>;
let worker: Child<DeskMessage>;
beforeEach(async () => {
  folder = storeFolder();
  worker = startChild<DeskMessage>(new URL('desk-process.ts', import.meta.url), { file: folder.path });
  await worker.message(({ kind }) => kind === 'ready');
});
afterEach(async () => {
  worker.kill();
  await worker.ended;
  folder.remove();
});

const cli = (...args: string[]): Promise<Outcome> => everturn(folder.path, args);
/** Looking in a loop would start many processes. */
const look = (...args: string[]): Promise<Outcome> => callEverturn(['inspect', ...args, '--store', folder.path]);

interface Page {
  status: string;
  attempts: number;
  journal: { steps: Array<{ attempts: number }>; recoveries: number };
}

const pageOf = async (run: string): Promise<Page> => (await look('run', run, '--json')).json();

async function pendingApproval(): Promise<string> {
  let id: string | undefined;
  await expect
    .poll(
      async () => {
        const { items } = (await look('approvals', '--json')).json() as { items: Array<{ id: string }> };
        return (id = items[0]?.id);
      },
      { timeout: 30_000 },
    )
    .toBeDefined();
  return id ?? '';
}

describe('beside a worker that lives', { timeout: 60_000 }, () => {
  it('an approval reaches the run at once, with the edited amount', async () => {
    const id = await pendingApproval();
    const { code } = await cli('approve', id, '--input', '{"orderId":1042,"amount":20}');
    expect(code).toBe(0);
    expect(await worker.message(({ kind }) => kind === 'paid')).toEqual({ kind: 'paid', amount: 20 });
    await expect.poll(async () => (await pageOf('ask-1')).status, { timeout: 30_000 }).toBe('completed');
  });

  it('the command line takes no lease: a step that is under way goes on in its first attempt', async () => {
    await worker.message(({ kind }) => kind === 'at the gate');
    expect(await pageOf('slow-1')).toMatchObject({ status: 'running' });
    const id = await pendingApproval();
    await cli('deny', id, '--reason', 'not now');
    await cli('inspect', 'events', 'slow-1');
    await cli('inspect', 'runs');
    worker.send('open the gate');
    await expect.poll(async () => (await pageOf('slow-1')).status, { timeout: 30_000 }).toBe('completed');
    expect((await pageOf('slow-1')).journal).toMatchObject({ steps: [{ attempts: 1 }], recoveries: 0 });
    expect(worker.messages.filter(({ kind }) => kind === 'at the gate')).toHaveLength(1);
  });

  it('events --follow prints them as they come, and ends with the run', async () => {
    await worker.message(({ kind }) => kind === 'at the gate');
    const follower = startEverturn(['inspect', 'events', 'slow-1', '--follow', '--store', folder.path]);
    await expect.poll(follower.stdout, { timeout: 30_000 }).toContain('slow-1  slow, running');
    expect(follower.stdout()).not.toContain('step_completed');
    worker.send('open the gate');
    const { code, stdout } = await follower.ended;
    expect(code).toBe(0);
    expect(stdout).toMatch(/^slow-1 .*\n SEQ .*\n +0 .*step_completed .*\n +1 .*run_completed.*\n$/);
  });

  it('events --follow --json prints one document per line', async () => {
    worker.send('open the gate');
    const { stdout } = await cli('inspect', 'events', 'slow-1', '--follow', '--json');
    const events = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { seq: number; type: string });
    expect(events.map(({ seq, type }) => [seq, type])).toEqual([
      [0, 'step_completed'],
      [1, 'run_completed'],
    ]);
  });

  it('the page of a running run shows its lease', async () => {
    await worker.message(({ kind }) => kind === 'at the gate');
    expect((await look('run', 'slow-1')).stdout).toMatch(/lease +until in \d+ s, epoch 1/);
  });

  it('cancel reaches the run', async () => {
    await pendingApproval();
    await cli('cancel', 'ask-1');
    await expect.poll(async () => (await pageOf('ask-1')).status, { timeout: 30_000 }).toBe('cancelled');
  });
});
