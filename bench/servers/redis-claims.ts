/** A claim on Redis beside many runs that sleep. */

import { redisStore } from 'everturn/redis';
import { startRedis } from '../../test/support/redis.ts';
import { median } from '../measure.ts';
import { toPlainFigure } from '../report.ts';
import type { Figure } from '../report.ts';

const SLEEPING = 100_000;
const CLAIMS = 200;
const store = 'redis';

/** Claims and starts of one run after the other in a queue in which many sleep. */
export async function measureClaims(): Promise<Figure> {
  const server = await startRedis();
  const opened = redisStore({ url: server.url });
  try {
    const queue = 'q@1';
    const ids = Array.from({ length: SLEEPING }, (_, index) => `run_${index}`);
    for (let from = 0; from < SLEEPING; from += 2_000) {
      const started = await opened.start(
        ids.slice(from, from + 2_000).map((id) => newRun(id, queue)),
        {
          nonce: `n${from}`,
          leaseMs: 600_000,
        },
      );
      await opened.commit(started.map((answer) => toSleep(answer)));
    }
    const times: number[] = [];
    for (let i = 0; i < CLAIMS; i += 1) {
      await opened.start([newRun(`due_${i}`, queue)]);
      const request = { queues: [queue], limit: 16, suspects: 1, nonce: `c${i}`, leaseMs: 600_000 };
      const began = performance.now();
      const { claims } = await opened.claim(request);
      times.push(performance.now() - began);
      if (claims.length !== 1) throw new Error(`A claim got ${claims.length} runs instead of 1.`);
    }
    const what = `claim of a run beside ${SLEEPING.toLocaleString('en')} that sleep, p50`;
    return toPlainFigure(what, [median(times)], { store, unit: 'ms', atMost: 5 });
  } finally {
    await opened.close();
    await server.remove();
  }
}

type Started = Awaited<ReturnType<ReturnType<typeof redisStore>['start']>>[number];
type NewRun = Parameters<ReturnType<typeof redisStore>['start']>[0][number];
type Commit = Parameters<ReturnType<typeof redisStore>['commit']>[0][number];

function newRun(id: string, queue: string): NewRun {
  return {
    id,
    workflow: 'q',
    version: '1',
    queue,
    thread: null,
    tenant: null,
    input: new Uint8Array(),
    inputHash: '',
    attributes: {},
    parent: null,
    supersedes: null,
    limits: [],
  };
}

function toSleep(started: Started): Commit {
  if (started.kind !== 'created' || started.token === null) throw new Error(`A run was ${started.kind}.`);
  const nothing = { events: [], chunks: [], hooks: { create: [], close: [] }, starts: [], cancels: [], ledger: [] };
  return {
    ...nothing,
    run: started.run.id,
    token: started.token,
    expect: 0,
    id: started.run.id,
    leaseMs: 600_000,
    seen: 0,
    received: 0,
    then: { kind: 'wait', dueAt: started.now + 86_400_000 },
  };
}
