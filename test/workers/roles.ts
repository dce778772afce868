/** The life of a run over processes that share nothing but a store. */
import { expect } from 'vitest';
import { startModelServer } from '../../examples/model-server/server.ts';
import { startChild } from '../support/child.ts';
import type { Child } from '../support/child.ts';
import { startWitness } from '../support/witness.ts';
import type { RolesMessage, RolesTask } from './roles-process.ts';

const LEASE_MS = 1_500;

/**
 * One process starts the run, a second one works on it, a third reads, a fourth approves. The second is stopped between what its tool did and the
 * record of it, and continued when a fifth has taken over and ended the run. `store` as for `openStore`.
 */
export async function checkRoles(store: string): Promise<void> {
  const [witness, model] = await Promise.all([startWitness(), startModelServer()]);
  const common = { store, modelUrl: model.baseURL, witnessUrl: witness.url, leaseMs: LEASE_MS };
  const living: Array<Child<RolesMessage>> = [];
  const live = (role: RolesTask['role']): Child<RolesMessage> => {
    const child = startChild<RolesMessage>(new URL('roles-process.ts', import.meta.url), { ...common, role });
    living.push(child);
    return child;
  };
  try {
    const frozen = live('freeze');
    await frozen.message(({ kind }) => kind === 'ready');
    const starter = live('start');
    await starter.message(({ kind }) => kind === 'started');
    const reader = live('read');
    await reader.message(({ kind }) => kind === 'ready');
    await expect.poll(() => approveOnce(live), { interval: 50, timeout: 20_000 }).toBe('pay');
    await frozen.message(({ kind }) => kind === 'freezing');
    const heir = live('work');
    const { text } = (await reader.message(({ kind }) => kind === 'read')) as { text: string };
    expect(text).not.toBe('');
    frozen.kill('SIGCONT');
    const late = await frozen.message((message) => message.kind === 'committed');
    expect(late).toEqual({ kind: 'committed', answer: 'fenced' });
    await frozen.message((message) => message.kind === 'log' && message.code === 'lease_lost');
    const records = witness.records();
    expect(new Set(records.map(({ key }) => key)).size).toBe(1);
    expect(records.map(({ pid, attempt }) => [pid, attempt])).toEqual([
      [frozen.pid, 1],
      [heir.pid, 2],
    ]);
  } finally {
    for (const child of living) child.kill('SIGKILL');
    await Promise.all(living.map((child) => child.ended));
    await Promise.all([witness.close(), model.close()]);
  }
}

/** The tool that was approved; undefined if nothing waits yet. */
async function approveOnce(live: (role: RolesTask['role']) => Child<RolesMessage>): Promise<string | undefined> {
  const approver = live('approve');
  await approver.ended;
  const approved = approver.messages.find((message) => message.kind === 'approved');
  return approved?.tool;
}
