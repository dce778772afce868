/** A server with many runs that each hold a stream open, and write to it when they are told; says what it holds in memory. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createRuntime, DurableAgent, getWritable, step, workflow } from 'everturn';
import { createApp, serve } from 'everturn/server';
import { sqliteStore } from 'everturn/sqlite';
import { scriptedModel } from '../agent/run-kit.ts';

export interface ReadersArgument {
  path: string;
  streams: number;
}

export interface Memory {
  heap: number;
  /** Bytes outside of the heap: sockets, buffers, the store's pages. */
  rss: number;
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const { path, streams } = JSON.parse(process.argv[2] ?? '') as ReadersArgument;
const writers: Array<WritableStreamDefaultWriter<unknown>> = [];
const open = workflow('open', () =>
  step('write', async () => {
    const writer = getWritable().getWriter();
    await writer.write({ n: 0 });
    writers.push(writer);
    await new Promise(() => undefined);
  }),
);
const runtime = createRuntime({
  store: sqliteStore({ path }),
  agents: { support: new DurableAgent({ model: scriptedModel([]).model }) },
  workflows: [open],
  // A step that never ends must not count as one that killed its worker, however busy the machine is.
  worker: { concurrency: streams + 10, leaseMs: 120_000 },
});
const app = createApp(runtime, { authorize: () => ({ id: 'ann' }), maxStreams: 1_000_000 });
const server = await serve(app, { port: 0 });
process.send?.({ url: server.url, memory: memory() });
process.on('message', (command) => void obey(command as 'open' | 'write' | 'memory'));
process.once('disconnect', () => process.exit());

async function obey(command: 'open' | 'write' | 'memory'): Promise<void> {
  if (command === 'open') {
    for (let index = 0; index < streams; index += 1) {
      await runtime.start(open, { id: `run_${index}` });
      while (writers.length <= index) await new Promise((resolve) => setImmediate(resolve));
    }
  }
  if (command === 'write') await Promise.all(writers.map((writer) => writer.write({ text: 'a word or two' })));
  process.send?.({ memory: command === 'write' ? null : memory() });
}

function memory(): Memory {
  for (let turn = 0; turn < 4; turn += 1) collect();
  const { heapUsed, rss } = process.memoryUsage();
  return { heap: heapUsed, rss };
}
