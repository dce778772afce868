import { getStepMetadata, sleep, step, workflow } from 'everturn';
import { expect, it, vi } from 'vitest';
import { systemIds } from '../../src/runtime/ids.ts';
import { processes } from './support.ts';

it('without hints from the store a cancel reaches a running step within a second', async () => {
  const { clock, inner, open, settle } = processes();
  Object.assign(inner, { capabilities: { ...inner.capabilities, push: false }, watch: undefined });
  const flow = workflow('flow', () =>
    step('long', async () => {
      const { signal } = getStepMetadata();
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
    }),
  );
  const holder = open({ workflows: [flow] });
  const run = await holder.start(flow);
  await settle();
  await open({ workflows: [] }).getRun(run.id).cancel();
  await clock.advance(1_100);
  expect(await run.status).toBe('cancelled');
});

it('says why what a cancelled run leaves behind could not be settled', async () => {
  const { logs, open, settle } = processes();
  const flow = {
    name: 'flow',
    toWorkflow: (name: string) => ({
      ...workflow(name, () => sleep('1 hour')).toWorkflow(name),
      settle: () => Promise.reject(new Error('the disk is full')),
    }),
  };
  const run = await open({ workflows: [flow] }).start(flow);
  await settle();
  await run.cancel();
  await settle();
  expect(await run.status).toBe('cancelled');
  expect(logs.filter(({ level }) => level === 'error').map(({ fields }) => String(fields['err']))).toEqual([
    'Error: the disk is full',
  ]);
});

it('nobody can tell the next nonce from one that was seen, or from a public id', () => {
  const ids = systemIds();
  const nonces = Array.from({ length: 100 }, () => ids.nonce());
  for (const nonce of nonces) expect(nonce).toMatch(/^[0-9a-f]{32}$/);
  expect(new Set(nonces.map((nonce) => nonce.slice(0, 12))).size).toBe(100);
});

it('keeps no continuation where none is to be kept warm: a run that waited is replayed', async () => {
  const { clock, open, settle } = processes();
  let begun = 0;
  const flow = workflow('flow', async () => {
    begun += 1;
    const value = await step('value', () => 7);
    await sleep('1 hour');
    return value;
  });
  const runtime = open({ workflows: [flow], worker: { warm: { max: 0, ms: 30_000 } } });
  const run = await runtime.start(flow);
  await settle();
  await clock.advance(60 * 60_000);
  expect(await run.result()).toBe(7);
  expect(begun).toBe(2);
});

it('goes on with one claim where a sleep has ended while no process lived', async () => {
  const { clock, inner, open, settle } = processes();
  const flow = workflow('flow', async () => {
    await sleep('1 hour');
    return 'awake';
  });
  const first = open({ workflows: [flow] });
  const run = await first.start(flow);
  await settle();
  first.kill();
  await clock.advance(2 * 60 * 60_000);
  const second = open({ workflows: [flow] });
  expect(await second.getRun(run.id).result()).toBe('awake');
  expect((await inner.get(run.id))?.epoch).toBe(2);
});

it('looks for due runs ever more rarely while it finds none, if the store wants that, until a hint comes', async () => {
  const { clock, inner, open, settle } = processes();
  const claims = vi.spyOn(inner, 'claim');
  Object.assign(inner, { capabilities: { ...inner.capabilities, idlePollMs: 30_000 } });
  const flow = workflow('flow', () => step('value', () => 7));
  open({ workflows: [flow] });
  const looks = async (ms: number): Promise<number> => {
    const before = claims.mock.calls.length;
    await clock.advance(ms);
    return claims.mock.calls.length - before;
  };
  await settle();
  await looks(60_000);
  expect(await looks(300_000)).toBe(10);
  const run = await open({ workflows: [flow], worker: false }).start(flow);
  await settle();
  expect(await run.status).toBe('completed');
  expect(await looks(4_000)).toBeGreaterThan(1);
});

it('looks for due runs as often as it is told, whatever the store wants', async () => {
  const { clock, inner, open, settle } = processes();
  const claims = vi.spyOn(inner, 'claim');
  Object.assign(inner, { capabilities: { ...inner.capabilities, idlePollMs: 30_000 } });
  open({ workflows: [workflow('flow', () => step('value', () => 7))], worker: { pollMs: 1_000 } });
  await settle();
  const before = claims.mock.calls.length;
  await clock.advance(60_000);
  expect(claims.mock.calls.length - before).toBe(60);
});
