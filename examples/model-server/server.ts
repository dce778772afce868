/** The HTTP server around a wire: request log, scenarios, faults and pacing. It keeps no conversation. */
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Conversation, History } from './conversation.ts';
import { deliver, failureOf, reject } from './delivery.ts';
import type { Delivery } from './delivery.ts';
import { createFaultList, faultInText, fits } from './faults.ts';
import type { Fault, FaultList } from './faults.ts';
import { hashHistory, planResponse } from './plan.ts';
import { createRequestLog } from './request-log.ts';
import type { LogEntry, RequestLog } from './request-log.ts';
import { responsesWire } from './responses-api.ts';
import { chooseScenario, replyTo, toolScenario } from './scenarios.ts';
import type { Reply, Scenario } from './scenarios.ts';
import { serviceScenarios } from './service.ts';
import { supportScenario } from './support.ts';
import { ApiError } from './wire.ts';
import type { Body, Wire } from './wire.ts';

export interface ModelServerOptions {
  /** 0, the default, takes a free one. */
  port?: number;
  /** Milliseconds per token, on average; 0, the default, sends at once. */
  pacingMs?: number;
  /** Texts without random marks, for people to read. */
  plain?: boolean;
  /** Asked before the built-in ones. */
  scenarios?: readonly Scenario[];
  /** Gets each ended request as a JSON line, and is read at the start for the responses of earlier processes. */
  logFile?: string;
}

export interface ModelServer {
  /** Origin, e.g. `http://127.0.0.1:4010`; `GET /log` and `POST /faults` are below it. */
  readonly url: string;
  /** For the provider: origin and `/v1`. */
  readonly baseURL: string;
  /** Each request, oldest first. Live. */
  readonly log: readonly LogEntry[];
  /** Makes the next fitting request fail. */
  failNext(fault: Fault): void;
  /** Resolves with the first log entry for which the predicate holds, now or after a later change. */
  until(predicate: (entry: LogEntry) => boolean): Promise<LogEntry>;
  /** Cuts the open responses and stops. */
  close(): Promise<void>;
}

interface Context {
  wire: Wire;
  log: RequestLog;
  faults: FaultList;
  scenarios: readonly Scenario[];
  pacingMs: number;
  plain: boolean;
}

/** Starts a server for OpenAI's Responses API on 127.0.0.1. */
export function startModelServer(options: ModelServerOptions = {}): Promise<ModelServer> {
  return startWireServer(responsesWire, options);
}

/** Starts a server for any wire on 127.0.0.1. */
export async function startWireServer(wire: Wire, options: ModelServerOptions = {}): Promise<ModelServer> {
  const context: Context = {
    wire,
    log: createRequestLog(options.logFile),
    faults: createFaultList(),
    scenarios: [...(options.scenarios ?? []), ...serviceScenarios, supportScenario, toolScenario],
    pacingMs: options.pacingMs ?? 0,
    plain: options.plain ?? false,
  };
  const server = createServer((req, res) => {
    handle(context, { req, res }).catch((cause: unknown) => res.destroy(cause as Error));
  });
  await new Promise<void>((resolve, fail) => {
    server.once('error', fail).listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    baseURL: `${url}/v1`,
    log: context.log.entries,
    failNext: (fault) => context.faults.add(fault),
    until: (predicate) => context.log.until(predicate),
    close: () => closeServer(server),
  };
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve, fail) => {
    server.close((error) => (error ? fail(error) : resolve()));
    server.closeAllConnections();
  });
}

async function handle(context: Context, { req, res }: { req: IncomingMessage; res: ServerResponse }): Promise<void> {
  const route = `${req.method ?? ''} ${new URL(req.url ?? '/', 'http://local').pathname}`;
  if (route === `POST ${context.wire.path}`) return respond(context, { text: await readText(req), res });
  if (route === 'GET /log') return sendJson(res, { status: 200, body: context.log.entries });
  if (route === 'POST /faults') return addFault(context, { text: await readText(req), res });
  const error = new ApiError(`Unknown request URL: ${route}.`, { status: 404, code: 'unknown_url' });
  sendJson(res, { status: 404, body: context.wire.errorBody(error) });
}

function addFault({ faults }: Context, { text, res }: { text: string; res: ServerResponse }): void {
  try {
    faults.add(JSON.parse(text) as Fault);
    sendJson(res, { status: 200, body: { ok: true } });
  } catch (error) {
    sendJson(res, { status: 400, body: { error: { message: (error as Error).message } } });
  }
}

async function respond(context: Context, { text, res }: { text: string; res: ServerResponse }): Promise<void> {
  const { wire, log, pacingMs, plain } = context;
  const body = parseBody(text);
  const entry = newEntry(body);
  log.add(entry);
  // Answered requests are settled by now; this one lost its client before its answer ended.
  res.once('close', () => log.settle(entry, 'aborted'));
  try {
    const { reply, fault, history } = decide(context, { body, entry });
    if (fault?.kind === '429' || fault?.kind === '500') {
      const error = failureOf(wire, fault.kind === '429' ? 429 : 500);
      return reject({ wire, log, entry, res }, { error, retryAfterMs: fault.retryAfterMs });
    }
    const model = String(body['model']);
    const response = planResponse(reply, { wire, history, model, plain, limit: limitOf({ body, wire, fault, reply }) });
    entry.token = response.token;
    entry.output = wire.output(response);
    const delivery: Delivery = { wire, log, entry, res, response, fault, pacingMs };
    await deliver(delivery, entry.stream);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    reject({ wire, log, entry, res }, { error });
  }
}

interface Decision {
  history: History;
  reply: Reply;
  fault: Fault | undefined;
}

// An invalid history is refused before any fault is used up, so that it always shows.
function decide(context: Context, { body, entry }: { body: Body; entry: LogEntry }): Decision {
  const history = context.wire.read(body, context.log);
  const choice = chooseScenario(history, context.scenarios);
  entry.conversation = hashHistory(history);
  entry.scenario = choice.scenario.name;
  entry.turn = choice.conversation.turn;
  const reply = replyOrError(choice);
  const fault =
    context.faults.take(choice.conversation) ??
    orderedFault(context, { entry, reply, conversation: choice.conversation });
  entry.fault = fault?.kind ?? null;
  return { history, reply, fault };
}

// A mistake in a scenario must not look like a failure that a client should retry.
function replyOrError(choice: Parameters<typeof replyTo>[0]): Reply {
  try {
    return replyTo(choice);
  } catch (cause) {
    throw new ApiError(`Scenario "${choice.scenario.name}" failed: ${String(cause)}`, { type: 'scenario_error' });
  }
}

// Faults that the conversation itself orders would repeat for ever; the log says how often it has failed already.
function orderedFault(
  { log }: Context,
  { entry, reply, conversation }: { entry: LogEntry; reply: Reply; conversation: Conversation },
): Fault | undefined {
  const inText = faultInText(conversation.lastUserText);
  const fault = reply.fault ?? (inText && { turn: 0, ...inText });
  if (!fault || !fits(fault, conversation)) return undefined;
  const before = log.entries.filter((other) => other.conversation === entry.conversation && other.fault === fault.kind);
  return before.length < (fault.times ?? 1) ? fault : undefined;
}

function limitOf({
  body,
  wire,
  fault,
  reply,
}: {
  body: Body;
  wire: Wire;
  fault: Fault | undefined;
  reply: Reply;
}): number | undefined {
  if (fault?.kind !== 'incomplete') return wire.tokenLimit(body);
  return fault.afterTokens ?? Math.ceil((reply.text ?? '').split(/\s+/).length / 2);
}

function newEntry(body: Body): LogEntry {
  return {
    id: `req_${randomBytes(6).toString('hex')}`,
    time: new Date().toISOString(),
    request: body,
    stream: body['stream'] === true,
    conversation: '',
    scenario: null,
    turn: 0,
    token: null,
    status: 200,
    outcome: 'open',
    fault: null,
    error: null,
    sentTokens: 0,
    output: [],
  };
}

// A body that is no JSON object is read as an empty one, which every wire refuses.
function parseBody(text: string): Body {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? (body as Body) : {};
  } catch {
    return {};
  }
}

async function readText(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function sendJson(res: ServerResponse, { status, body }: { status: number; body: unknown }): void {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
