import { appendFile, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRuntime, step, workflow } from 'everturn';
import { describe, expect, it, onTestFinished } from 'vitest';
import { logStore } from '../../examples/log-store.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { describeStore } from '../../src/testing/store-suite/store-suite.ts';
import { compareHistories } from './compare-histories.ts';

async function newFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'log-store-'));
}

const makeStore = async () => {
  const folder = await newFolder();
  const path = join(folder, 'runs.log');
  const clock = manualClock();
  let store = await logStore(path, clock);
  return {
    store,
    advance: clock.advance,
    reopen: async () => {
      await store.close();
      store = await logStore(path, clock);
      return store;
    },
    close: async () => {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
};

describeStore({ describe, it }, makeStore);

describe('the store of examples/log-store.ts', () => {
  it('does the same as the memory store in random histories', { timeout: 60_000 }, async () => {
    const folder = await newFolder();
    onTestFinished(() => rm(folder, { recursive: true }));
    let files = 0;
    await compareHistories((clock) => logStore(join(folder, `${(files += 1)}.log`), clock), { many: 20 });
  });

  it('goes on behind what a death left half written', async () => {
    const folder = await newFolder();
    const path = join(folder, 'runs.log');
    const clock = systemClock();
    const flow = workflow('flow', async (given: number) => step('add', () => given + 1));
    const open = async () => createRuntime({ store: await logStore(path, clock), workflows: [flow] });
    const first = await open();
    await (await first.start(flow, { id: 'one', input: 1 })).result();
    await first.close();
    const { size } = await stat(path);
    await appendFile(path, Buffer.from([200, 0, 0, 0, 1, 2, 3]));
    const second = await open();
    expect((await stat(path)).size).toBeGreaterThanOrEqual(size);
    expect(await second.getRun('one').result()).toBe(2);
    expect(await (await second.start(flow, { id: 'two', input: 2 })).result()).toBe(3);
    await second.close();
    const third = await open();
    onTestFinished(async () => {
      await third.close();
      await rm(folder, { recursive: true });
    });
    expect(await third.getRun('two').result()).toBe(3);
  });
});
