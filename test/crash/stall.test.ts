import { describe, it } from 'vitest';
import { checkStall } from './stalls.ts';

describe.each(['workflow', 'agent'] as const)('an event loop that stalls in %s for longer than its lease', (what) => {
  it.concurrent('keeps its run if nobody else took it, and repeats nothing', async () => {
    await checkStall({ what, leaseMs: 2_000, busyMs: 4_500, helped: false });
  }, 60_000);

  it.concurrent('loses its run to another process and writes nothing more', async () => {
    await checkStall({ what, leaseMs: 2_000, busyMs: 4_500, helped: true });
  }, 60_000);
});
