/** The public suite for servers of the Durable Streams protocol, against a store. */

import { runConformanceTests } from '@durable-streams/server-conformance-tests';
import { serve } from 'everturn/server';
import type { RunningServer } from 'everturn/server';
import type { Store } from 'everturn';
import { afterAll, beforeAll, beforeEach, vi } from 'vitest';
import { createStreamServer } from './write-side.ts';
import type { StreamServer } from './write-side.ts';

const SKIPPED: ReadonlyArray<[tests: RegExp, reason: string]> = [
  [/^Fork - /, 'streams belong to their run and are not forked'],
];

export function describeConformance(openStore: () => { store: Store; remove: () => void }): void {
  const target = { baseUrl: '', longPollTimeoutMs: 1_000 };
  let close = async (): Promise<void> => undefined;

  beforeAll(async () => {
    const { store, remove } = openStore();
    const streams: StreamServer = createStreamServer(store);
    const server: RunningServer = await serve(streams, { port: 0 });
    target.baseUrl = server.url;
    close = async () => {
      await server.close();
      await streams.close();
      await store.close();
      remove();
    };
  });
  afterAll(() => close());

  beforeEach(({ task, skip }) => {
    const names: string[] = [];
    for (let each: { name: string; suite?: typeof task.suite } | undefined = task; each; each = each.suite)
      names.unshift(each.name);
    const found = SKIPPED.find(([tests]) => names.some((name) => tests.test(name)));
    if (found !== undefined) skip(found[1]);
  });

  // Its properties have their own counts of runs.
  vi.setConfig({ testTimeout: 60_000 });
  runConformanceTests(target);
}
