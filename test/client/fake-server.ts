/** A server of functions: what it answers to each request is the test's, down to the byte where a body breaks. */

import { durableChatTransport } from 'everturn/client';
import type { DurableChatTransport, DurableChatTransportOptions, NetworkNews } from 'everturn/client';
import { manualClock } from 'everturn/testing';
import type { ManualClock } from 'everturn/testing';
import type { UIMessage, UIMessageChunk } from 'ai';

export interface Asked {
  method: string;
  path: string;
  headers: Headers;
  body: unknown;
  signal: AbortSignal;
}

export type Answerer = (asked: Asked, index: number) => Response | Promise<Response>;

export interface FakeServer {
  transport: DurableChatTransport;
  clock: ManualClock;
  requests: Asked[];
  network: { online: boolean; tell(news: NetworkNews): void };
  /** Time that passed in sleep: it is on the clock, and no timer saw it. */
  sleep(ms: number): void;
  /** Moves time until the promise settles. */
  finish<T>(promise: Promise<T>): Promise<T>;
}

export function fakeServer(answer: Answerer, options: DurableChatTransportOptions = {}): FakeServer {
  const clock = manualClock();
  const requests: Asked[] = [];
  const listeners = new Set<(news: NetworkNews) => void>();
  let sleptMs = 0;
  const network = {
    online: true,
    tell(news: NetworkNews): void {
      for (const listener of listeners) listener(news);
    },
  };
  const transport = durableChatTransport({
    api: 'http://server.test/api/',
    ...options,
    async fetch(input, init) {
      const { method, url, headers, signal } = new Request(input, init);
      const asked: Asked = {
        method,
        path: new URL(url).pathname,
        headers,
        body: typeof init?.body === 'string' ? JSON.parse(init.body) : undefined,
        signal: init?.signal ?? signal,
      };
      requests.push(asked);
      return answer(asked, requests.length - 1);
    },
    environment: {
      clock: { ...clock, monotonic: () => clock.monotonic() + sleptMs },
      random: () => 0.5,
      network: {
        isOnline: () => network.online,
        onNews(listener) {
          listeners.add(listener);
          return () => void listeners.delete(listener);
        },
      },
    },
  });
  return {
    transport,
    clock,
    requests,
    network,
    sleep: (ms) => void (sleptMs += ms),
    async finish(promise) {
      const settled = promise.then(
        () => 'settled',
        () => 'settled',
      );
      for (let spent = 0; spent < 1_000; spent += 1) {
        if ((await Promise.race([settled, clock.advance(1_000)])) === 'settled') return promise;
      }
      throw new Error('Nothing happened in 1,000 seconds.');
    },
  };
}

export const RUN = 'run_1';

/** One frame per chunk, as the server writes them. */
export function framesOf(chunks: readonly UIMessageChunk[], from = 0): string[] {
  return chunks.map((chunk, index) => `id: ${offset(from + index + 1)}\ndata: ${JSON.stringify(chunk)}\n\n`);
}

export const END = 'data: [DONE]\n\n';
export const OPENING = ': open\n\n';

export function offset(count: number): string {
  return String(count).padStart(16, '0');
}

export interface StreamOptions {
  /** Bytes after which the body breaks, as a dead socket does. */
  cutAt?: number;
  /** The body stays open after its text. */
  open?: boolean;
  handle?: string;
}

export function streamOf(text: string, { cutAt, open = false, handle = `${RUN}~0` }: StreamOptions = {}): Response {
  const bytes = new TextEncoder().encode(text);
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      if (bytes.length > 0 && cutAt !== 0) controller.enqueue(bytes.subarray(0, cutAt ?? bytes.length));
    },
    pull(controller) {
      if (cutAt !== undefined) controller.error(new TypeError('network error'));
      else if (!open) controller.close();
    },
  });
  return new Response(body, { headers: { 'content-type': 'text/event-stream', 'x-workflow-run-id': handle } });
}

/** A body that the test writes to. */
export function openStream(handle = `${RUN}~0`): { response: Response; write(text: string): void } {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) });
  const headers = { 'content-type': 'text/event-stream', 'x-workflow-run-id': handle };
  return {
    response: new Response(body, { headers }),
    write: (text) => controller?.enqueue(new TextEncoder().encode(text)),
  };
}

export function refusal(status: number, code: string, details: Record<string, unknown> = {}): Response {
  return Response.json({ error: { code, message: `It is ${code}. (docs/errors.md#${code})`, details } }, { status });
}

export const HELLO: UIMessage = { id: 'm1', role: 'user', parts: [{ type: 'text', text: 'Hello' }] };

export const CHUNKS: UIMessageChunk[] = [
  { type: 'start', messageId: `msg_${RUN}` },
  { type: 'start-step' },
  { type: 'text-start', id: 't' },
  { type: 'text-delta', id: 't', delta: 'Grüß ' },
  { type: 'text-delta', id: 't', delta: 'dich \u{1F44B}' },
  { type: 'text-end', id: 't' },
  { type: 'finish-step' },
  { type: 'finish' },
];

export function send(
  { transport }: FakeServer,
  { messages = [HELLO], signal }: { messages?: UIMessage[]; signal?: AbortSignal } = {},
): Promise<ReadableStream<UIMessageChunk>> {
  return transport.sendMessages({
    trigger: 'submit-message',
    chatId: 't1',
    messageId: undefined,
    messages,
    abortSignal: signal,
  });
}

export async function readAll(stream: ReadableStream<UIMessageChunk> | null): Promise<UIMessageChunk[]> {
  const chunks: UIMessageChunk[] = [];
  for await (const chunk of stream ?? []) chunks.push(chunk);
  return chunks;
}
