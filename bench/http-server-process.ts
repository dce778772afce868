/** everturn's server, with streams that are written as the bench says, and an agent. */

import { setTimeout as delay } from 'node:timers/promises';
import { tool } from 'ai';
import { createRuntime, DurableAgent, getWritable, step, workflow } from 'everturn';
import type { RunHandle } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { createApp, serve } from 'everturn/server';
import { z } from 'zod';
import { answer, readArgument, takeCommands } from './child.ts';
import { firstTokenModel, PLEASE_ASK } from './http-model.ts';
import { OPENING_CHUNKS, paceOf, stamped } from './http-wire.ts';
import type { Listening, OpenedStream, ServerArgument, ServerCommand, WaitingThread } from './http-wire.ts';
import { machineNow } from './measure.ts';
import { durableStore } from './runtime.ts';

interface OpenRun {
  writer: WritableStreamDefaultWriter<unknown>;
  end: () => void;
}

const HISTORY_RUN_BYTES = 500_000;

const { path, warm } = readArgument() as ServerArgument;
const open = new Map<string, OpenRun>();
const opened = new Map<string, (run: OpenRun) => void>();
const written = workflow('written', ({ name }: { name: string }) =>
  step('write', async () => {
    const writer = getWritable().getWriter();
    for (const chunk of OPENING_CHUNKS) await writer.write(chunk);
    await new Promise<void>((end) => opened.get(name)?.({ writer, end }));
    await writer.close();
  }),
);
const bench = new DurableAgent({
  model: firstTokenModel(),
  tools: {
    refund: tool({
      description: 'Gives money back',
      inputSchema: z.object({ amount: z.number() }),
      execute: ({ amount }) => ({ paid: amount }),
    }),
  },
  toolApproval: { refund: 'user-approval' },
});
const runtime = createRuntime({
  store: path === null ? memoryStore() : durableStore(path).store,
  agents: { bench },
  workflows: [written],
  worker: warm ? {} : { warm: { max: 1, ms: 30_000 } },
});
const server = await serve(createApp(runtime, { authorize: () => ({ id: 'bench' }), maxStreams: 5_000 }), { port: 0 });
takeCommands(obey);
await answer({ url: server.url } satisfies Listening);
process.once('disconnect', () => void close());

async function close(): Promise<void> {
  for (const run of open.values()) run.end();
  await server.close();
  await runtime.close({ graceMs: 100 });
}

async function obey(command: ServerCommand): Promise<unknown> {
  switch (command.kind) {
    case 'open':
      return openStream();
    case 'write':
      return write(command);
    case 'close':
      runOf(command.stream).end();
      return open.delete(command.stream);
    case 'memory':
      return memoryBytes();
    case 'ask-approval':
      return askApproval(command.historyBytes);
  }
}

async function openStream(): Promise<OpenedStream> {
  const name = `run_bench_${open.size}_${machineNow()}`;
  const started = new Promise<OpenRun>((resolve) => opened.set(name, resolve));
  await runtime.start(written, { id: name, input: { name } });
  open.set(name, await started);
  const stream = `/api/chat/${name}~0/stream`;
  return { stream: name, counted: `${stream}?startIndex=0`, joined: stream };
}

async function write({ stream, count, perSecond, bytes }: Extract<ServerCommand, { kind: 'write' }>): Promise<number> {
  const { writer } = runOf(stream);
  const startedAt = machineNow();
  const pace = paceOf(perSecond);
  for (let i = 0; i < count; i += 1) {
    await pace?.();
    await writer.write(stamped(bytes));
  }
  return machineNow() - startedAt;
}

function runOf(stream: string): OpenRun {
  const run = open.get(stream);
  if (run === undefined) throw new Error(`There is no stream "${stream}".`);
  return run;
}

function memoryBytes(): number {
  for (let i = 0; i < 4; i += 1) globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** History in runs of half a megabyte, since a value has its limit. */
async function askApproval(historyBytes: number): Promise<WaitingThread> {
  const thread = `thread-${machineNow()}`;
  for (let left = historyBytes; left > 0; left -= HISTORY_RUN_BYTES) {
    const prompt = 'What was said before. '.repeat(HISTORY_RUN_BYTES / 22);
    await (await runtime.start(bench, { thread, prompt })).result();
  }
  const run = await startWaiting(thread);
  // There is room for one run that waits: this one's continuation goes.
  if (!warm) await startWaiting(`${thread}-beside`);
  const { items } = await runtime.approvals.list({ run: run.id });
  const { tail } = await runtime.streams.page({ run: run.id, stream: 'default', from: Number.MAX_SAFE_INTEGER });
  const position = `${run.id}~${String(tail).padStart(16, '0')}`;
  return { approval: items[0]?.id ?? '', path: `/api/threads/${thread}/stream?after=${position}` };
}

async function startWaiting(thread: string): Promise<RunHandle> {
  const run = await runtime.start(bench, { thread, prompt: PLEASE_ASK });
  while ((await run.status) !== 'waiting') await delay(5);
  return run;
}
