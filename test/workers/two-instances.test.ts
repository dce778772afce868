import { setTimeout as delay } from 'node:timers/promises';
import { tool } from 'ai';
import { createHook, createRuntime, DurableAgent, getToolMetadata, step, workflow } from 'everturn';
import type { Runtime } from 'everturn';
import { scriptedModel } from 'everturn/testing';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { openStore } from '../support/open-store.ts';
import { describeOnStores } from '../support/store-places.ts';
import { silentLogger } from '../support/silent-logger.ts';

const RUNS = 8;
const TOOLS = 4;
const BRANCHES = ['a', 'b', 'c'];
/** Bodies by key: how often each has begun. One that begins while it runs is noted. */
function watchBodies() {
  const begun = new Map<string, number>();
  const running = new Set<string>();
  const doubled: string[] = [];
  const enter = async (key: string, reached?: () => void): Promise<string> => {
    if (running.has(key)) doubled.push(key);
    running.add(key);
    begun.set(key, (begun.get(key) ?? 0) + 1);
    reached?.();
    await delay(120);
    running.delete(key);
    return key;
  };
  return { begun, doubled, enter };
}

describeOnStores('two instances that work on the same runs', (open) => {
  it('run no body twice, with tools in parallel and hooks that are answered in mid-step', async () => {
    const place = await open();
    const { begun, doubled, enter } = watchBodies();
    const others: Array<Promise<void>> = [];
    const answer = async (token: string): Promise<void> => {
      const [, other] = runtimes;
      await other?.resumeHook(token, token);
    };
    const trip = workflow('trip', async (id: string) => {
      const found: unknown[] = [];
      for (const round of [0, 1]) {
        const token = `${id}/${round}`;
        const hook = createHook<string>({ token });
        // In mid-step, by the other instance: the hook was created with what ran before.
        await step('before', () => enter(`${token}/before`));
        const branches = BRANCHES.map((name, index) =>
          step(name, () => enter(`${token}/${name}`, index === 1 ? () => others.push(answer(token)) : undefined)),
        );
        found.push(...(await Promise.all([...branches, hook])));
      }
      return found;
    });
    const porter = new DurableAgent({
      model: scriptedModel(({ toolResults }) =>
        Object.keys(toolResults).length > 0
          ? 'All carried.'
          : { toolCalls: Array.from({ length: TOOLS }, (_, index) => ({ toolName: 'carry', input: { index } })) },
      ),
      tools: {
        carry: tool({
          inputSchema: z.object({ index: z.number() }),
          execute: () => enter(getToolMetadata().idempotencyKey),
        }),
      },
    });
    const live = (): Runtime =>
      createRuntime({ store: openStore(place.store), agents: { porter }, workflows: [trip], logger: silentLogger });
    const runtimes = [live(), live()];
    try {
      const ids = Array.from({ length: RUNS }, (_, index) => `run_${index}`);
      const [one] = runtimes;
      if (one === undefined) throw new Error('There is no runtime.');
      const trips = await Promise.all(ids.map((id) => one.start(trip, { id, input: id })));
      const agents = await Promise.all(ids.map((id) => one.start(porter, { id: `agent_${id}`, prompt: 'Carry all.' })));
      const found = await Promise.all(trips.map((run) => run.result()));
      await Promise.all(agents.map((run) => run.result()));
      await Promise.all(others);
      for (const [index, id] of ids.entries())
        expect(found[index]).toEqual(
          [0, 1].flatMap((round) => [...BRANCHES.map((name) => `${id}/${round}/${name}`), `${id}/${round}`]),
        );
      expect(doubled).toEqual([]);
      expect([...begun].filter(([, times]) => times > 1)).toEqual([]);
      expect(begun.size).toBe(RUNS * (2 * (1 + BRANCHES.length) + TOOLS));
    } finally {
      await Promise.all(runtimes.map((runtime) => runtime.close()));
      await place.remove();
    }
  }, 60_000);
});
