/** Servers for tests: one app, reached directly or through a socket. */

import { createApp, serve } from 'everturn/server';
import type { AppOptions, Authorize } from 'everturn/server';
import { memoryStore } from 'everturn/memory';
import type { Runtime, RuntimeOptions } from 'everturn';
import { readUIMessageStream } from 'ai';
import type { UIMessage, UIMessageChunk } from 'ai';
import { afterEach, describe } from 'vitest';
import { recordingLogger, startRuntime } from '../agent/run-kit.ts';
import type { LogLine } from '../agent/run-kit.ts';

export type Agents = NonNullable<RuntimeOptions['agents']>;

export interface Site {
  runtime: Runtime;
  /** Where the API stands. */
  api: string;
  /** With JSON and a user's headers unless the request has its own. */
  fetch: typeof globalThis.fetch;
  logs: LogLine[];
  close(): Promise<void>;
}

export type OpenSite = (options: Partial<RuntimeOptions>, app?: AppOptions) => Promise<Site>;

/** The user and the tenant are what the headers say. */
export const byHeaders: Authorize = (request) => {
  const tenant = request.headers.get('x-tenant');
  return { id: request.headers.get('x-user') ?? 'ann', ...(tenant === null ? {} : { tenant }) };
};

/** The same tests, once with requests that go to the app directly and once through a socket. */
export function overBothWays(name: string, tests: (open: OpenSite) => void): void {
  const sites: Site[] = [];
  const closing =
    (open: OpenSite): OpenSite =>
    async (...options) => {
      const site = await open(...options);
      sites.push(site);
      return site;
    };
  describe.each([
    ['app.request', openDirectly],
    ['a socket', openSocket],
  ] as const)(`${name}, through %s`, (_, open) => {
    afterEach(async () => {
      for (const site of sites.splice(0)) await site.close();
    });
    tests(closing(open));
  });
}

export const openDirectly: OpenSite = async (options, appOptions = {}) => {
  const { runtime, logs, app } = create(options, appOptions);
  const direct: typeof fetch = async (input, init) => app.fetch(new Request(input, init));
  const close = (): Promise<void> => runtime.close({ graceMs: 0 });
  return { runtime, logs, api: 'http://localhost/api', fetch: withDefaults(direct), close };
};

export const openSocket: OpenSite = async (options, appOptions = {}) => {
  const { runtime, logs, app } = create(options, appOptions);
  const server = await serve(app, { port: 0 });
  const close = async (): Promise<void> => {
    await server.close();
    await runtime.close({ graceMs: 0 });
  };
  return { runtime, logs, api: `${server.url}/api`, fetch: withDefaults(fetch), close };
};

function create(
  options: Partial<RuntimeOptions>,
  appOptions: AppOptions,
): { runtime: Runtime; logs: LogLine[]; app: ReturnType<typeof createApp> } {
  const { logger, lines } = recordingLogger();
  const runtime = startRuntime({ store: memoryStore(), ...options });
  return { runtime, logs: lines, app: createApp(runtime, { authorize: byHeaders, logger, ...appOptions }) };
}

function withDefaults(fetch: typeof globalThis.fetch): typeof globalThis.fetch {
  return (input, init = {}) => {
    const headers = new Headers(init.headers);
    if (typeof init.body === 'string' && !headers.has('content-type')) headers.set('content-type', 'application/json');
    return fetch(input, { ...init, headers });
  };
}

export function userMessage(id: string, text: string): UIMessage {
  return { id, role: 'user', parts: [{ type: 'text', text }] };
}

export interface PostOptions {
  path?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export function post(
  site: Site,
  body: unknown,
  { path = '/chat', headers = {}, signal }: PostOptions = {},
): Promise<Response> {
  return site.fetch(`${site.api}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** Sends a user's message to a thread. */
export function say(
  site: Site,
  {
    thread = 't1',
    id = 'm1',
    text = 'Hello',
    ...more
  }: { thread?: string; id?: string; text?: string; [field: string]: unknown } = {},
  options?: PostOptions,
): Promise<Response> {
  return post(site, { id: thread, messages: [userMessage(id, text)], ...more }, options);
}

export interface Frame {
  event: string | undefined;
  id: string | undefined;
  data: string;
}

export const isDone = (frame: Frame): boolean => frame.data === '[DONE]';

/** Frames as they arrive; ends with the body. The signal cancels it, as a page that is closed does. */
export async function* framesOf(response: Response, signal?: AbortSignal): AsyncGenerator<Frame> {
  if (response.body === null) throw new Error(`The response ${response.status} has no body.`);
  let rest = '';
  for await (const text of response.body.pipeThrough(new TextDecoderStream(), signal === undefined ? {} : { signal })) {
    const blocks = (rest + text).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const fields = new Map(
        block.split('\n').map((line) => {
          const cut = line.indexOf(':');
          return [line.slice(0, cut), line.slice(cut + 1).trimStart()] as const;
        }),
      );
      const data = fields.get('data');
      if (data !== undefined) yield { event: fields.get('event'), id: fields.get('id'), data };
    }
  }
}

export async function allFrames(response: Response): Promise<Frame[]> {
  const frames: Frame[] = [];
  for await (const frame of framesOf(response)) frames.push(frame);
  return frames;
}

export function toChunks(frames: readonly Frame[]): UIMessageChunk[] {
  return frames
    .filter((frame) => frame.event === undefined && !isDone(frame))
    .map((frame) => JSON.parse(frame.data) as UIMessageChunk);
}

export async function chunksOf(response: Response): Promise<UIMessageChunk[]> {
  return toChunks(await allFrames(response));
}

/** What a client shows of the chunks. */
export async function messageOf(
  chunks: readonly UIMessageChunk[],
  message?: UIMessage,
): Promise<UIMessage | undefined> {
  const stream = new ReadableStream<UIMessageChunk>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  let last: UIMessage | undefined = message;
  for await (const each of readUIMessageStream({ stream, ...(message === undefined ? {} : { message }) })) last = each;
  return last;
}

export function textOf(chunks: readonly UIMessageChunk[]): string {
  return chunks.map((chunk) => (chunk.type === 'text-delta' ? chunk.delta : '')).join('');
}

export function typesOf(chunks: readonly UIMessageChunk[]): string[] {
  return chunks.map((chunk) => chunk.type).filter((type, index, all) => type !== all[index - 1]);
}

export interface ErrorBody {
  error: { code: string; message: string; details: Record<string, unknown> };
}

export async function refusalOf(response: Response): Promise<ErrorBody['error'] & { status: number }> {
  const body = (await response.json()) as ErrorBody;
  return { status: response.status, ...body.error };
}
