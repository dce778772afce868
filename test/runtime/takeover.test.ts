import { step, workflow } from 'everturn';
import { expect, it } from 'vitest';
import { processes } from './support.ts';

const LEASE_MS = 15_000;

it('runs whose process died during their first step go on together, not one after the other', async () => {
  const { clock, open, settle } = processes();
  const begun: string[] = [];
  const flow = workflow('flow', (name: string) =>
    step('first', () => {
      begun.push(name);
      return new Promise<never>(() => {});
    }),
  );
  const names = ['a', 'b', 'c', 'd'];
  const first = open({ workflows: [flow] });
  for (const name of names) await first.start(flow, { id: name, input: name });
  await settle();
  first.kill();
  open({ workflows: [flow] });
  await clock.advance(LEASE_MS + 1_000);
  expect(begun.toSorted()).toEqual([...names, ...names].toSorted());
});
