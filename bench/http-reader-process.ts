/**
 * Readers: plain sockets that speak HTTP/1.1, so that a thousand of them leave the second core some time. Each checks that it gets
 * every chunk once, in order.
 */

import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { readUIMessageStream, uiMessageChunkSchema, parseJsonEventStream } from 'ai';
import type { UIMessageChunk } from 'ai';
import { answer, takeCommands } from './child.ts';
import type { Effect, HttpRequest, ReaderCommand, Received } from './http-wire.ts';
import { machineNow, measured, quantile } from './measure.ts';

const ID_DIGITS = 16;
const DELTA = '"delta":"';
const STAMP_END = DELTA.length + 30;

class Reader {
  readonly socket: Socket;
  readonly latencies: number[] = [];
  count = 0;
  doneAt = 0;
  #lastId: number | undefined;
  #expected = Number.POSITIVE_INFINITY;
  #rest = '';
  #resolve: () => void = () => {};

  constructor(url: string, request: HttpRequest) {
    this.socket = send(url, request);
    this.socket.setEncoding('latin1');
    this.socket.on('data', (text: string) => this.#take(text));
  }

  /** Resolves when so many chunks with a stamp have come. */
  expect(count: number): Promise<void> {
    this.#expected = count;
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.socket.once('close', () => reject(new Error(`A reader was cut after ${this.count} of ${count} chunks.`)));
      if (this.count >= count) resolve();
    });
  }

  #take(text: string): void {
    const now = machineNow();
    const whole = this.#rest + text;
    let at = 0;
    for (let end = whole.indexOf('\n\n'); end >= 0; end = whole.indexOf('\n\n', at)) {
      this.#frame(whole, { from: at, end, now });
      at = end + 2;
    }
    this.#rest = whole.slice(at);
    if (this.count < this.#expected || this.doneAt > 0) return;
    this.doneAt = now;
    this.#resolve();
  }

  #frame(text: string, { from, end, now }: { from: number; end: number; now: number }): void {
    const data = text.indexOf('\ndata: ', from);
    if (data < 0 || data > end) return;
    const id = Number(text.slice(data - ID_DIGITS, data));
    if (Number.isNaN(id)) return; // not stored, so it has none
    if (this.#lastId !== undefined && id !== this.#lastId + 1)
      throw new Error(`Chunk ${id} came where ${this.#lastId + 1} was to come.`);
    this.#lastId = id;
    const stamp = text.indexOf(DELTA, data);
    if (stamp < 0 || stamp > end) return;
    this.count += 1;
    this.latencies.push(now - Number.parseFloat(text.slice(stamp + DELTA.length, stamp + STAMP_END)));
  }
}

let readers: Reader[] = [];
let stalled: Socket | undefined;

takeCommands(obey);
await answer('ready');

async function obey(command: ReaderCommand): Promise<unknown> {
  switch (command.kind) {
    case 'open':
      return open(command);
    case 'collect':
      return collect(command.count);
    case 'request':
      return request(command);
    case 'effect':
      return effect(command);
    case 'replay':
      return replay(command);
  }
}

async function open({
  url,
  request,
  readers: count,
  stalled: one,
}: Extract<ReaderCommand, { kind: 'open' }>): Promise<void> {
  readers = [];
  while (readers.length < count) {
    const some = Array.from({ length: Math.min(50, count - readers.length) }, () => new Reader(url, request));
    await Promise.all(some.map(({ socket }) => firstByte(socket)));
    readers.push(...some);
  }
  if (one !== true) return;
  stalled = send(url, request);
  await firstByte(stalled);
  stalled.pause();
}

async function collect(count: number): Promise<Received> {
  await Promise.all(readers.map((reader) => reader.expect(count)));
  const latencies = readers.flatMap((reader) => reader.latencies);
  const last = readers.map((reader) => reader.latencies.at(-1) ?? Number.NaN);
  const doneAt = Math.max(...readers.map((reader) => reader.doneAt));
  for (const { socket } of readers) socket.removeAllListeners('close').destroy();
  stalled?.destroy();
  return { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99), last: measured(last), doneAt };
}

async function request({ url, request, until }: Extract<ReaderCommand, { kind: 'request' }>): Promise<number> {
  const startedAt = machineNow();
  const socket = send(url, request);
  const seenAt = await seen(socket, until);
  socket.destroy();
  return seenAt - startedAt;
}

async function effect(command: Extract<ReaderCommand, { kind: 'effect' }>): Promise<Effect> {
  const stream = send(command.url, command.stream);
  const effect = seen(stream, command.until);
  await firstByte(stream);
  const startedAt = machineNow();
  const socket = send(command.url, command.request);
  const answeredAt = await seen(socket, '}');
  const seenAt = await effect;
  for (const each of [socket, stream]) each.destroy();
  return { answeredMs: answeredAt - startedAt, seenMs: seenAt - startedAt };
}

/** When it has come. */
function seen(socket: Socket, until: string): Promise<number> {
  let text = '';
  socket.setEncoding('latin1');
  return new Promise((resolve, reject) => {
    socket.on('data', (part: string) => {
      text += part;
      if (text.includes(until)) resolve(machineNow());
    });
    socket.once('close', () => reject(new Error(`"${until}" did not come in: ${text.slice(0, 2_000)}`)));
  });
}

/** With `fetch` and the SDK's own parser and fold, until the message holds all of the text. */
async function replay({
  url,
  request: { path, headers },
  deltas,
}: Extract<ReaderCommand, { kind: 'replay' }>): Promise<number> {
  const startedAt = machineNow();
  const aborted = new AbortController();
  const response = await fetch(url + path, { ...(headers === undefined ? {} : { headers }), signal: aborted.signal });
  if (response.body === null) throw new Error(`The response ${response.status} has no body.`);
  const parsed = parseJsonEventStream({ stream: response.body, schema: uiMessageChunkSchema });
  const chunks = parsed.pipeThrough(
    new TransformStream<{ success: boolean; value?: UIMessageChunk }, UIMessageChunk>({
      transform(result, controller) {
        if (result.value === undefined) throw new Error('A chunk could not be read.');
        controller.enqueue(result.value);
      },
    }),
  );
  for await (const message of readUIMessageStream({ stream: chunks })) {
    const text = message.parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
    if (text.split(' ').length <= deltas) continue;
    const tookMs = machineNow() - startedAt;
    aborted.abort();
    return tookMs;
  }
  throw new Error('The text was not whole.');
}

function send(url: string, { path, headers = {}, body }: HttpRequest): Socket {
  const { host, hostname, port } = new URL(url);
  const payload = body === undefined ? '' : JSON.stringify(body);
  const lines = [
    `${body === undefined ? 'GET' : 'POST'} ${path} HTTP/1.1`,
    `host: ${host}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(body === undefined ? [] : ['content-type: application/json', `content-length: ${Buffer.byteLength(payload)}`]),
  ];
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  socket.on('error', (error) => void error);
  socket.write(`${lines.join('\r\n')}\r\n\r\n${payload}`);
  return socket;
}

function firstByte(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('data', () => resolve());
    socket.once('error', reject);
  });
}
