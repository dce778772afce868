/** `startChild('server-process.ts', task)`: an agent that does what the user's words say, its API, and the page. May die at any moment. */

import { appendFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { tool } from 'ai';
import { MockLanguageModelV4 } from 'ai/test';
import { createRuntime, DurableAgent } from 'everturn';
import { createApp, serve } from 'everturn/server';
import type { Authorize } from 'everturn/server';
import { sqliteStore } from 'everturn/sqlite';
import { z } from 'zod';

export interface ServerOptions {
  port: number;
  database: string;
  /** What the tools did, a line each. */
  witness: string;
  /** What POSTs were answered with, a line each. */
  posts: string;
  /** The page's script. */
  script: string;
  /** Who may: this machine, or those whose cookie `user` says who they are. */
  access: 'local' | 'cookie';
}

/** What a test asks of this process beside its API. */
export interface ApproveInCode {
  kind: 'approve';
  id: string;
}

const { port, database, witness, posts, script, access } = JSON.parse(process.argv[2] ?? '') as ServerOptions;

type Model = MockLanguageModelV4;
type Options = Parameters<Model['doStream']>[0];
type Part = Awaited<ReturnType<Model['doStream']>>['stream'] extends ReadableStream<infer PART> ? PART : never;

const USAGE = {
  inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 1, text: 1, reasoning: 0 },
};

/**
 * "count N MS": N words, MS apart, each with the id of this process, so that words of an abandoned attempt can be told apart. "clock N MS": words
 * that tell when they were said. "refund N" and "slow" call a tool. After a tool's result the model says what it was.
 */
const model = new MockLanguageModelV4({
  doStream: async ({ prompt, abortSignal }) => ({ stream: play(partsFor(prompt), abortSignal) }),
});

/** What the model does next: says something, waits, or says what only then is known. */
type Cue = Part | number | (() => Part);

function partsFor(prompt: Options['prompt']): Cue[] {
  const last = prompt.at(-1);
  if (last?.role === 'tool') {
    const [result] = last.content;
    return [...words([`Result: ${JSON.stringify(result)}`], 0), finish('stop')];
  }
  const said =
    last?.role === 'user' ? last.content.map((part) => (part.type === 'text' ? part.text : '')).join('') : '';
  const [what, first, second] = said.split(' ');
  if (what === 'count') {
    const all = Array.from({ length: Number(first) }, (_, index) => `p${process.pid}w${index} `);
    return [...words(all, Number(second)), finish('stop')];
  }
  if (what === 'clock') {
    const pause = Number(second);
    const all = Array.from({ length: Number(first) }, () => (): string => `${Date.now()} `);
    return [...words(all, pause), finish('stop')];
  }
  if (what === 'refund' || what === 'slow') {
    const input = JSON.stringify({ amount: Number(first ?? 0) });
    const toolCallId = `call-${prompt.length}`;
    return [
      ...words(['One moment. '], 0),
      { type: 'tool-call', toolCallId, toolName: what, input },
      finish('tool-calls'),
    ];
  }
  return [...words([`You said: ${said}`], 0), finish('stop')];
}

function words(texts: ReadonlyArray<string | (() => string)>, pauseMs: number): Cue[] {
  const toDelta = (delta: string): Part => ({ type: 'text-delta', id: '1', delta });
  const deltas = texts.flatMap((text): Cue[] => [
    typeof text === 'string' ? toDelta(text) : () => toDelta(text()),
    pauseMs,
  ]);
  return [
    { type: 'stream-start', warnings: [] },
    { type: 'text-start', id: '1' },
    ...deltas,
    { type: 'text-end', id: '1' },
  ];
}

function finish(unified: 'stop' | 'tool-calls'): Part {
  return { type: 'finish', usage: USAGE, finishReason: { unified, raw: unified } };
}

function play(cues: Cue[], signal: AbortSignal | undefined): ReadableStream<Part> {
  return new ReadableStream<Part>(
    {
      async pull(controller) {
        for (let cue = cues.shift(); ; cue = cues.shift()) {
          if (cue === undefined) return controller.close();
          if (typeof cue !== 'number') return controller.enqueue(typeof cue === 'function' ? cue() : cue);
          await delay(cue, undefined, signal === undefined ? {} : { signal });
        }
      },
    },
    { highWaterMark: 0 },
  );
}

const act = async (name: string, amount: number, ms: number): Promise<string> => {
  appendFileSync(witness, `${name} ${amount} begins\n`);
  await delay(ms);
  appendFileSync(witness, `${name} ${amount} ends\n`);
  return `${name} ${amount}`;
};

const inputSchema = z.object({ amount: z.number() });
const agent = new DurableAgent({
  model,
  tools: {
    refund: tool({ inputSchema, execute: ({ amount }) => act('refund', amount, 0) }),
    slow: tool({ inputSchema, execute: ({ amount }) => act('slow', amount, amount) }),
  },
  toolApproval: { refund: 'user-approval' },
});
const runtime = createRuntime({ store: sqliteStore({ path: database }), agents: { support: agent } });

const authorize: Authorize = ({ headers }) => {
  const id = /\buser=(\w+)/.exec(headers.get('cookie') ?? '')?.[1];
  return id === undefined ? new Response('Who are you?', { status: 401 }) : { id };
};
const app = createApp(runtime, access === 'cookie' ? { authorize } : {});

process.on('message', ({ id }: ApproveInCode) => void runtime.approvals.approve(id, { by: 'code' }));

const EMPTY_PAGE = '<!doctype html><meta charset="utf-8"><title>everturn</title>';
const PAGE =
  '<!doctype html><meta charset="utf-8"><title>everturn</title><div id="root"></div><script src="/page.js"></script>';

const server = await serve(
  {
    fetch: async (request: Request, ...rest: unknown[]) => {
      const { pathname } = new URL(request.url);
      if (pathname.startsWith('/api/')) {
        const response = await app.fetch(request, ...(rest as []));
        if (request.method === 'POST') appendFileSync(posts, `POST ${pathname} ${response.status}\n`);
        return response;
      }
      if (pathname === '/page.js') {
        return new Response(await readFile(script), { headers: { 'content-type': 'text/javascript' } });
      }
      const page = pathname === '/empty' ? EMPTY_PAGE : PAGE;
      return new Response(page, { headers: { 'content-type': 'text/html' } });
    },
  },
  { port },
);
process.send?.({ kind: 'listening', url: server.url, port: server.port });
