/** The HTTP app over a runtime. */

import { OpenAPIHono, z } from '@hono/zod-openapi';
import type { Env, Hono } from 'hono';
import type { Runtime } from '../app/create-runtime.ts';
import type { Verifier } from '../app/resume-webhook.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { DurableError } from '../runtime/errors.ts';
import { systemIds } from '../runtime/ids.ts';
import { consoleLogger } from '../runtime/logger.ts';
import type { Logger } from '../runtime/logger.ts';
import { HEARTBEAT_MS } from '../streams/wire.ts';
import { createAccess, Refusal } from './access.ts';
import type { Authorize } from './access.ts';
import { approvalEndpoints } from './approval-endpoints.ts';
import { approvalLinkEndpoints } from './approval-link-endpoints.ts';
import { chatEndpoints } from './chat-endpoints.ts';
import { addEndpoint, endpoint } from './endpoint.ts';
import type { Endpoint } from './endpoint.ts';
import { createConnections } from './connections.ts';
import { createEncoders } from './encoders.ts';
import { createHeartbeats } from './heartbeats.ts';
import { hookEndpoints } from './hook-endpoints.ts';
import { errorResponse, routeNotFound } from './http-error.ts';
import { jsonResponse } from './json.ts';
import { questionEndpoints } from './question-endpoints.ts';
import { ledgerEndpoints } from './ledger-endpoints.ts';
import { runEndpoints } from './run-endpoints.ts';
import { createRunStates } from './run-state.ts';
import { errorSchema } from './schemas.ts';
import type { ServerParts } from './server-parts.ts';
import { streamEndpoints } from './stream-endpoints.ts';
import type { StreamType } from './stream-endpoints.ts';
import { createThreadStates } from './thread-state.ts';
import { webhookEndpoints } from './webhook-endpoints.ts';

export interface AppOptions {
  /**
   * Answers who asks: a principal `{ id, tenant? }`, or a Response that refuses. Without it only this machine is served, through
   * `serve`. Required behind a proxy and in any other host.
   */
  authorize?: Authorize;
  /** The agent that chats. Default: the only one of the runtime; if it has none, there is no `POST /chat`. */
  agent?: string;
  /** Default '/api'. */
  basePath?: string;
  /** Default 1,000,000. */
  maxBodyBytes?: number;
  /**
   * Streams that one principal may have open; another one is refused with 429 `too_many_streams`. Default 200. More if one principal stands
   * for many people.
   */
  maxStreams?: number;
  /**
   * The content type of streams that hold bytes or texts, such as 'text/csv': their chunks are then served one after the other, and not as
   * JSON. The same stream must always get the same answer.
   */
  streamType?: StreamType;
  /**
   * Who lets requests to webhooks pass, by the names that `createWebhook({ verify })` says: `{ github: github(secret) }`. Secrets are
   * held where requests arrive, and stored nowhere.
   */
  verifiers?: Readonly<Record<string, Verifier>>;
  /** Default: warnings and errors on the console. */
  logger?: Logger;
  /** For tests. */
  clock?: Clock;
}

const MAX_BODY_BYTES = 1_000_000;
const MAX_STREAMS = 200;

/**
 * Creates the HTTP app of a runtime: chat, approvals, hooks and runs, as docs/PROTOCOL.md says. A Hono app: mount it anywhere that
 * takes a Request and answers a Response, or pass it to `serve`. Throws `invalid_argument` if no agent can be chosen.
 */
export function createApp(runtime: Runtime, options: AppOptions = {}): Hono<Env> {
  const { logger = consoleLogger(), clock = systemClock(), basePath = '/api' } = options;
  const agent = chooseAgent(runtime, options.agent);
  checkBasePath(basePath);
  const { random } = systemIds();
  const limit = checkedLimit(options.maxStreams ?? MAX_STREAMS);
  const { maxBodyBytes = MAX_BODY_BYTES, verifiers = {} } = options;
  const parts: ServerParts = {
    runtime,
    agent,
    clock,
    logger,
    random,
    connections: createConnections({ clock, random, limit }),
    encoders: createEncoders(),
    streamType: options.streamType ?? (() => undefined),
    heartbeats: createHeartbeats(clock, HEARTBEAT_MS),
    runStates: createRunStates(runtime, clock),
    threadStates: createThreadStates(runtime, clock),
    verifiers,
    maxBodyBytes,
  };
  const app = new OpenAPIHono();
  const serveOptions = {
    access: createAccess(options.authorize),
    basePath,
    maxBodyBytes,
    errorSchema: errorSchema(),
  };
  for (const each of allEndpoints(parts)) addEndpoint(app, each, serveOptions);
  app.get(`${basePath}/openapi.json`, () => jsonResponse(describe(app)));
  app.onError((error) => (error instanceof Refusal ? error.response : errorResponse(error, logger)));
  app.notFound(({ req }) => errorResponse(routeNotFound(req.method, req.path), logger));
  return app;
}

function allEndpoints(parts: ServerParts): Endpoint[] {
  return [
    ...chatEndpoints(parts),
    ...approvalLinkEndpoints(parts),
    ...approvalEndpoints(parts),
    ...questionEndpoints(parts),
    ...hookEndpoints(parts),
    ...webhookEndpoints(parts),
    ...runEndpoints(parts),
    ...ledgerEndpoints(parts),
    ...streamEndpoints(parts),
    health(parts.runtime),
  ];
}

function health(runtime: Runtime): Endpoint {
  return endpoint({
    method: 'get',
    path: '/health',
    summary: 'Whether the server and its store answer.',
    access: 'open',
    responses: { 200: { description: 'They do.', schema: z.object({ status: z.literal('ok') }) } },
    async handle() {
      await runtime.list({ limit: 1 });
      return jsonResponse({ status: 'ok' });
    },
  });
}

function describe(app: OpenAPIHono): unknown {
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'everturn', version: '1', description: 'Durable agents over HTTP.' },
  });
}

function chooseAgent(runtime: Runtime, asked: string | undefined): string | null {
  const { agents } = runtime;
  const [only] = agents;
  if (asked === undefined && only === undefined) return null;
  if (asked === undefined && only !== undefined && agents.length === 1) return only;
  if (asked !== undefined && agents.includes(asked)) return asked;
  const names = agents.map((name) => `"${name}"`).join(', ');
  const why = asked === undefined ? `its runtime has ${agents.length} agents` : `its runtime has no agent "${asked}"`;
  throw new DurableError(
    'invalid_argument',
    `Cannot create the app: ${why}${names === '' ? '' : ` (${names})`}. Write createApp(runtime, { agent: "name" }) with one of createRuntime({ agents }).`,
    { details: { agents } },
  );
}

function checkedLimit(maxStreams: number): number {
  if (Number.isSafeInteger(maxStreams) && maxStreams > 0) return maxStreams;
  throw new DurableError(
    'invalid_argument',
    `Cannot create the app: maxStreams is ${String(maxStreams)}. Write how many streams a principal may have open, 1 or more.`,
    { details: { maxStreams } },
  );
}

function checkBasePath(basePath: string): void {
  if (basePath === '' || /^(?:\/[\w.-]+)+$/.test(basePath)) return;
  throw new DurableError(
    'invalid_argument',
    `Cannot create the app: the base path ${JSON.stringify(basePath)} is none. Write it as "/api", or "" for the root.`,
  );
}
