/** A stalled event loop, alone on its file and beside another process, for any length of lease and stall. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { startModelServer } from '../../examples/model-server/server.ts';
import { startChild } from '../support/child.ts';
import type { Child } from '../support/child.ts';
import { startWitness } from '../support/witness.ts';
import type { StallMessage, StallOptions } from './stall-process.ts';

export interface Stall {
  what: StallOptions['what'];
  leaseMs: number;
  busyMs: number;
  /** Another process has the file open and takes over what falls due. */
  helped: boolean;
}

interface Outcome {
  /** Attempts by step or tool, in the order of numbers: a process that stalled may act late. */
  effects: Record<string, number[]>;
  starter: StallMessage[];
  helper: StallMessage[];
}

async function stall({ what, leaseMs, busyMs, helped }: Stall): Promise<Outcome> {
  const [witness, model] = await Promise.all([startWitness(), startModelServer()]);
  const folder = mkdtempSync(join(tmpdir(), 'everturn-stall-'));
  const file = join(folder, 'runs.db');
  const task = { file, modelUrl: model.baseURL, witnessUrl: witness.url, leaseMs, busyMs, what };
  const live = (role: StallOptions['role']): Child<StallMessage> =>
    startChild(new URL('stall-process.ts', import.meta.url), { ...task, role });
  try {
    const helper = helped ? live('help') : undefined;
    await helper?.message(({ kind }) => kind === 'ready');
    const starter = live('start');
    expect((await starter.ended).code).toBe(0);
    helper?.send('leave');
    expect((await helper?.ended)?.code ?? 0).toBe(0);
    const byTool = Map.groupBy(witness.records(), ({ tool }) => tool);
    const effects = [...byTool].map(([tool, records]) => [
      tool,
      records.map(({ attempt }) => attempt).toSorted((a, b) => a - b),
    ]);
    return {
      effects: Object.fromEntries(effects) as Outcome['effects'],
      starter: starter.messages,
      helper: helper?.messages ?? [],
    };
  } finally {
    await Promise.all([witness.close(), model.close()]);
    rmSync(folder, { recursive: true });
  }
}

/** What was recorded before the stall takes effect once, the log says what stalled, and nothing is written under a lease that another has. */
export async function checkStall(options: Stall): Promise<void> {
  const { effects, starter, helper } = await stall(options);
  const slow = options.what === 'workflow' ? 'crunch' : 'audit';
  const rest = options.what === 'workflow' ? { thank: [1] } : {};
  expect(effects).toEqual({ pay: [1], [slow]: options.helped ? [1, 2] : [1], ...rest });
  const logs = starter.filter((message) => message.kind === 'log');
  const reports = logs.filter(({ message }) => /stalled longer than the lease|the lease was lost/.test(message));
  const named = reports.map(({ level, fields }) => [level, fields['code'], fields['run'], fields['step']]);
  // A busy machine may add a stall of its own.
  expect(named).toContainEqual(['warn', 'lease_lost', 'run', slow]);
  const ended = starter.find((message) => message.kind === 'ended');
  expect(ended?.result).toContain(options.what === 'workflow' ? 'thanked' : 'All is right.');
  if (!options.helped) return;
  expect(helper.filter((message) => message.kind === 'log').map(({ message }) => message)).toContain(
    'taken over from a worker whose lease ended',
  );
  const stalledAt = starter.find((message) => message.kind === 'stalled')?.at ?? Infinity;
  const late = starter.filter((message) => message.kind === 'commit').filter(({ at }) => at >= stalledAt);
  expect(late.filter(({ answer }) => answer === 'applied')).toEqual([]);
}
