import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { DiskMessage, DiskOptions } from '../crash/disk-process.ts';
import { startChild } from '../support/child.ts';
import type { Child } from '../support/child.ts';

const MB = 1_048_576;
const isRoot = process.getuid?.() === 0;
const folders: string[] = [];
const mounts: string[] = [];

afterEach(() => {
  for (const mount of mounts.splice(0)) execFileSync('umount', ['-l', mount]);
  for (const folder of folders.splice(0)) {
    chmodSync(folder, 0o755);
    rmSync(folder, { recursive: true, force: true });
  }
});

function freshFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'everturn-disk-'));
  folders.push(folder);
  return folder;
}

/** A disk of its own, so small that it can be filled; null where this user may not mount one. */
function smallDisk(bytes: number): string | null {
  const folder = freshFolder();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    return null;
  }
  mounts.push(folder);
  return folder;
}

function start(task: DiskOptions, uid?: number): Child<DiskMessage> {
  return startChild(new URL('../crash/disk-process.ts', import.meta.url), task, uid === undefined ? {} : { uid });
}

describe('a disk that is full', () => {
  it('stops a run without harm until there is room again', async (context) => {
    const disk = smallDisk(8 * MB);
    if (disk === null) return context.skip('this user may not mount a tmpfs');
    const ballast = join(disk, 'ballast');
    writeFileSync(ballast, new Uint8Array(6 * MB));
    const task = { file: join(disk, 'runs.db'), steps: 30, bytes: 100_000 };
    const child = start(task);
    await child.message((message) => message.kind === 'log' && message.code === 'store_full');
    rmSync(ballast);
    const ended = await child.message(({ kind }) => kind === 'ended' || kind === 'refused');
    expect(ended).toEqual({ kind: 'ended', result: 'packed' });
    expect((await child.ended).code).toBe(0);
    const attempts = child.messages.filter((message) => message.kind === 'attempt');
    expect(attempts.map(({ step, attempt }) => [step, attempt])).toEqual(
      Array.from({ length: 30 }, (_, step) => [step, 1]),
    );
  });

  it('that stays full lets the process be killed, and the next one go on when there is room', async (context) => {
    const disk = smallDisk(8 * MB);
    if (disk === null) return context.skip('this user may not mount a tmpfs');
    const ballast = join(disk, 'ballast');
    writeFileSync(ballast, new Uint8Array(6 * MB));
    const task = { file: join(disk, 'runs.db'), steps: 30, bytes: 100_000 };
    const child = start(task);
    await child.message((message) => message.kind === 'log' && message.code === 'store_full');
    child.kill('SIGKILL');
    await child.ended;
    rmSync(ballast);
    const next = start(task);
    expect(await next.message(({ kind }) => kind === 'ended' || kind === 'refused')).toEqual({
      kind: 'ended',
      result: 'packed',
    });
    await next.ended;
    const counted = [...child.messages, ...next.messages].filter((message) => message.kind === 'attempt');
    const byStep = Map.groupBy(counted, ({ step }) => step);
    expect(byStep.size).toBe(30);
    const repeated = [...byStep.values()].filter((attempts) => attempts.length > 1);
    expect(repeated.map((attempts) => attempts.map(({ attempt }) => attempt))).toEqual([[1, 2]]);
  });
});

describe('a file that this user may not write', () => {
  const NOBODY = 65_534;

  it.each([
    { what: 'the file', folderMode: 0o777, fileMode: 0o444 },
    { what: 'the file and its folder', folderMode: 0o555, fileMode: 0o444 },
    { what: 'the folder of a file that is not there', folderMode: 0o555, fileMode: null },
  ])('because of $what: says what to do', async ({ folderMode, fileMode }) => {
    const folder = freshFolder();
    const inner = join(folder, 'data');
    mkdirSync(inner);
    chmodSync(folder, 0o755);
    const file = join(inner, 'runs.db');
    const task = { file, steps: 2, bytes: 10 };
    if (fileMode !== null) {
      expect((await start(task).ended).code).toBe(0);
      chmodSync(file, fileMode);
    }
    chmodSync(inner, folderMode);
    const child = start({ ...task, steps: 3 }, isRoot ? NOBODY : undefined);
    const refused = await child.message(({ kind }) => kind === 'refused' || kind === 'ended');
    expect(refused).toMatchObject({
      kind: 'refused',
      code: expect.stringMatching(/^store_(read_only|unavailable)$/),
      message: expect.stringContaining(file),
    });
    expect(refused).toMatchObject({ message: expect.stringMatching(/writable|read and write/) });
    expect((await child.ended).code).toBe(0);
    chmodSync(inner, 0o755);
  });
});
