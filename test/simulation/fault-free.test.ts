/** Without faults nothing is done twice: each body runs once, and each step is one call of the store. */

import { createRuntime, createHook, sleep, step, workflow } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { expect, it } from 'vitest';
import type { Workflow } from 'everturn';
import { Network, NO_FAULTS } from './network.ts';
import { Oracle } from './oracle.ts';
import { SimProcess } from './process.ts';
import { World } from './world.ts';

interface Counted {
  /** Calls of the store by name. */
  calls: Record<string, number>;
  bodies: number;
  violation: string | undefined;
}

async function run(
  make: (body: () => void) => Workflow<never>,
  resume?: { token: string; at: number },
): Promise<Counted> {
  const world = new World(1);
  const process = new SimProcess(world, 'p1');
  const oracle = new Oracle(world, memoryStore({ clock: world.storeClock }));
  const network = new Network({
    world,
    process,
    store: oracle.store,
    faults: () => NO_FAULTS,
    leaseMs: 15_000,
    strikes: () => [],
  });
  let bodies = 0;
  const target = make(() => (bodies += 1));
  const runtime = createRuntime({
    store: network.store,
    workflows: [target],
    secret: 'simulation',
    clock: process.clock,
    ids: process.ids,
  });
  if (resume !== undefined) process.after(resume.at, () => void runtime.resumeHook(resume.token));
  const started = runtime.start(target as Workflow, { id: 'run' });
  await world.drive(() => oracle.shadow('run').ended !== null, 60_000);
  await started;
  await oracle.verify({ isCalm: true });
  expect(oracle.shadow('run').ended?.status).toBe('completed');
  return { calls: Object.fromEntries(network.counts), bodies, violation: world.violation };
}

it('a run of n sequential steps costs n + 1 commits, a start and no load', async () => {
  const steps = 50;
  const sequence = (body: () => void): Workflow<never> =>
    workflow('sequence', async () => {
      for (let index = 0; index < steps; index += 1) await step('work', body);
    });
  const { calls, bodies, violation } = await run(sequence);
  expect({ violation, bodies, start: calls['start'], commit: calls['commit'], load: calls['load'] }).toEqual({
    violation: undefined,
    bodies: steps,
    start: 1,
    commit: steps + 1,
    load: undefined,
  });
});

it('steps that end in the same moment share a commit', async () => {
  const parallel = (body: () => void): Workflow<never> =>
    workflow('parallel', async () => {
      await Promise.all(Array.from({ length: 100 }, () => step('work', body)));
    });
  const { calls, bodies } = await run(parallel);
  expect({ bodies, commit: calls['commit'] }).toEqual({ bodies: 100, commit: 2 });
});

it('a run that waits goes on in place: nothing is loaded, nothing runs twice', async () => {
  const waiting = (body: () => void): Workflow<never> =>
    workflow('waiting', async () => {
      await step('before', body);
      await sleep(1_000);
      const hook = createHook({ token: 'token' });
      await step('between', body);
      await hook;
      await step('after', body);
    });
  const { calls, bodies, violation } = await run(waiting, { token: 'token', at: 5_000 });
  expect({ violation, bodies, loads: calls['load'] }).toEqual({ violation: undefined, bodies: 3, loads: undefined });
});
