/** What the two processes of these benches execute and start. Moments are on the machine's clock, which both read. */

import { setTimeout as delay } from 'node:timers/promises';
import { createHook, getWritable, step, workflow } from 'everturn';
import { machineNow } from '../measure.ts';

const RATE = 100;

/** Its result is when its code went on. */
export const resumed = workflow('resumed', async ({ token }: { token: string }) => {
  const hook = createHook<{ ok: boolean }>({ token });
  await hook;
  return machineNow();
});

/** Chunks, each of them the moment at which it was written. */
export const streamed = workflow('streamed', ({ count }: { count: number }) =>
  step('write', async () => {
    const writer = getWritable<number>().getWriter();
    for (let i = 0; i < count; i += 1) {
      await delay(1_000 / RATE);
      await writer.write(machineNow());
    }
    await writer.close();
  }),
);
