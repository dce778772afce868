/** The floor of HTTP: `node:http` that writes the same frames, made once for all readers, from memory and without a store. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { answer, takeCommands } from './child.ts';
import { OPENING_CHUNKS, paceOf, stamped } from './http-wire.ts';
import type { Listening, OpenedStream, ServerCommand } from './http-wire.ts';
import { machineNow } from './measure.ts';
import { FIRST_TOKEN_MS } from './http-model.ts';

interface PlainStream {
  frames: string[];
  readers: Set<ServerResponse>;
}

const streams = new Map<string, PlainStream>();
const server = createServer((request, response) => void serve(request, response));
server.listen(0, '127.0.0.1');
await once(server, 'listening');
takeCommands(obey);
await answer({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` } satisfies Listening);
process.once('disconnect', () => process.exit());

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache, no-transform' });
  response.write(': open\n\n');
  if (request.method === 'POST') {
    for await (const _ of request);
    await delay(FIRST_TOKEN_MS);
    response.end(toFrame(1, stamped()));
    return;
  }
  const stream = streamOf((request.url ?? '').slice(1));
  const from = Number(request.headers['last-event-id'] ?? 0);
  if (from < stream.frames.length) response.write(stream.frames.slice(from).join(''));
  stream.readers.add(response);
  response.once('close', () => stream.readers.delete(response));
}

async function obey(command: ServerCommand): Promise<unknown> {
  switch (command.kind) {
    case 'open': {
      const stream = `stream-${streams.size}`;
      streams.set(stream, { frames: OPENING_CHUNKS.map((chunk, i) => toFrame(i + 1, chunk)), readers: new Set() });
      return { stream, counted: `/${stream}`, joined: `/${stream}` } satisfies OpenedStream;
    }
    case 'write':
      return write(streamOf(command.stream), command);
    case 'close':
      for (const reader of streamOf(command.stream).readers) reader.end();
      return streams.delete(command.stream);
    case 'memory':
    case 'ask-approval':
      throw new Error(`The floor has no "${command.kind}".`);
  }
}

async function write(
  stream: PlainStream,
  { count, perSecond, bytes }: { count: number; perSecond?: number; bytes?: number },
): Promise<number> {
  const startedAt = machineNow();
  const pace = paceOf(perSecond);
  for (let i = 0; i < count; i += 1) {
    await pace?.();
    const frame = toFrame(stream.frames.length + 1, stamped(bytes));
    stream.frames.push(frame);
    for (const reader of stream.readers) if (!reader.write(frame)) await once(reader, 'drain');
  }
  return machineNow() - startedAt;
}

function streamOf(name: string): PlainStream {
  const stream = streams.get(name);
  if (stream === undefined) throw new Error(`There is no stream "${name}".`);
  return stream;
}

function toFrame(after: number, chunk: unknown): string {
  return `id: ${String(after).padStart(16, '0')}\ndata: ${JSON.stringify(chunk)}\n\n`;
}
