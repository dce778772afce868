import { describe, it } from 'vitest';
import { checkStall } from '../crash/stalls.ts';

describe('an event loop that stalls for 30 s under a lease of 15 s', () => {
  it.concurrent('keeps its run if nobody else took it, and repeats nothing', async () => {
    await checkStall({ what: 'agent', leaseMs: 15_000, busyMs: 30_000, helped: false });
  }, 120_000);

  it.concurrent('loses its run to another process and writes nothing more', async () => {
    await checkStall({ what: 'agent', leaseMs: 15_000, busyMs: 30_000, helped: true });
  }, 120_000);
});
