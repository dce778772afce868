import { createHook, workflow } from 'everturn';
import { expect, it } from 'vitest';
import { processes } from '../runtime/support.ts';
import type { Logged } from '../runtime/support.ts';

const order = workflow('order', async () => createHook<string>());
const ordering = workflow('ordering', async () => createHook<string>());
const foreign = workflow('foreign', async () => createHook<string>());

const warnings = (logs: Logged[]): Logged[] => logs.filter(({ level }) => level === 'warn');

async function leftBy(version: string) {
  const site = processes();
  const first = site.open({ workflows: [order, ordering, foreign], version });
  for (const id of ['a', 'b', 'c']) await first.start(order, { id });
  await first.start(ordering);
  await first.start(foreign);
  await site.settle();
  await first.getRun('c').cancel();
  await site.settle();
  first.kill();
  return site;
}

it('a runtime that opens says how many open runs of other versions wait, and what to do', async () => {
  const { open, settle, logs } = await leftBy('1');
  open({ workflows: [order, ordering], version: '2' });
  await settle();
  expect(warnings(logs).map(({ fields }) => fields)).toEqual([
    { workflow: 'order', version: '1', runs: 2, own: '2' },
    { workflow: 'ordering', version: '1', runs: 1, own: '2' },
  ]);
  expect(warnings(logs)[0]?.message).toMatch(
    /^2 open runs of order@1 .* this one has 2: keep one with the former code/,
  );
  expect(warnings(logs)[1]?.message).toMatch(/^1 open run of ordering@1/);
});

it.each([
  ['the version is the same', { version: '1' }],
  ['nothing is executed here', { version: '2', worker: false as const }],
])('it says nothing where %s', async (_, options) => {
  const { open, settle, logs } = await leftBy('1');
  open({ workflows: [order, ordering, foreign], ...options });
  await settle();
  expect(warnings(logs)).toEqual([]);
});

it('a store that cannot count them keeps nobody from working', async () => {
  const { open, settle, logs, inner } = await leftBy('1');
  const { backlog } = inner;
  inner.backlog = () => Promise.reject(new Error('no'));
  const runtime = open({ workflows: [order], version: '2' });
  await settle();
  inner.backlog = backlog;
  expect(warnings(logs)).toMatchObject([{ message: 'open runs of other versions could not be counted' }]);
  expect((await runtime.start(order, { id: 'd' })).id).toBe('d');
});
