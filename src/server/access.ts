/**
 * Who may do what.
 *
 *  H1 With `authorize`: it answers for every route but the capability routes, health and the OpenAPI document.
 *  H2 Without it only this machine is served: the peer's address, the Host and the Origin are loopback, nothing was forwarded, and it is
 *     not production. The address comes from `serve`; where it is unknown nobody is served.
 *  H3 A request that a foreign page can send without asking (a body that is not JSON) needs an Origin of the same host.
 */

import { DurableError } from '../runtime/errors.ts';
import { isLoopback } from './peer.ts';

export interface Principal {
  /** Recorded with what this one decides. */
  id: string;
  /** Whose data it is: stamped on runs, and the filter of every read and write. */
  tenant?: string;
  roles?: string[];
}

export type Action =
  | 'chat.send'
  | 'chat.read'
  | 'chat.stop'
  | 'approval.list'
  | 'approval.read'
  | 'approval.decide'
  | 'question.list'
  | 'question.read'
  | 'question.answer'
  | 'run.list'
  | 'run.read'
  | 'run.cancel'
  | 'run.resume'
  | 'stream.read'
  | 'ledger.read';

/** What somebody asks to do, and with what. */
export interface AccessRequest {
  action: Action;
  runId?: string;
  threadId?: string;
  approvalId?: string;
  questionId?: string;
}

/**
 * Answers who asks, or the response that refuses. The request's body has been read. Asked with the ids that the request says, and again with
 * the run and the thread of what they mean, once it is read and before it is used.
 */
export type Authorize = (
  request: Request,
  access: AccessRequest,
) => Principal | Response | Promise<Principal | Response>;

/** A principal as the handlers need it. */
export interface Caller {
  id: string;
  tenant: string | null;
  roles: readonly string[];
}

export interface Access {
  /** H2, H3. Throws `forbidden`. */
  admit(request: Request, peer: string | undefined): void;
  /** H1. Throws `forbidden`, and the response of `authorize`. */
  allow(request: Request, access: AccessRequest): Promise<Caller>;
}

/** The application's own answer to somebody who may not. */
export class Refusal extends Error {
  override readonly name: string = 'Refusal';
  readonly response: Response;

  constructor(response: Response) {
    super('authorize answered a response');
    this.response = response;
  }
}

export function createAccess(authorize: Authorize | undefined): Access {
  return {
    admit(request, peer) {
      if (authorize === undefined) assertLocal(request, peer);
      if (request.method === 'POST') assertNotForeign(request);
    },
    async allow(request, access) {
      if (authorize === undefined) return { id: 'local', tenant: null, roles: [] };
      const answer = await authorize(bodiless(request), access);
      if (answer instanceof Response) throw new Refusal(answer);
      return toCaller(answer);
    },
  };
}

function toCaller({ id, tenant, roles = [] }: Principal): Caller {
  const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
  if (isText(id) && (tenant === undefined || isText(tenant)) && Array.isArray(roles) && roles.every(isText)) {
    return { id, tenant: tenant ?? null, roles };
  }
  throw new TypeError('authorize answered neither a Response nor a principal { id, tenant?, roles? } with texts.');
}

function bodiless(request: Request): Request {
  return new Request(request.url, { method: request.method, headers: request.headers });
}

const LOCAL_HOSTS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);
const FORWARDED = /^(?:forwarded|via|x-real-ip|x-forwarded-.*)$/;
const HOW =
  'Without authorize only this machine is served. Pass createApp(runtime, { authorize }) and answer a principal { id, tenant? } for those who may.';

/** H2 */
function assertLocal(request: Request, peer: string | undefined): void {
  const why = foreignness(request, peer);
  if (why !== undefined) throw forbidden(`Cannot serve this request: ${why}. ${HOW}`);
}

function foreignness(request: Request, peer: string | undefined): string | undefined {
  const { headers } = request;
  if (peer === undefined) return 'the address of the other end is unknown, since the app was not started with serve()';
  if (!isLoopback(peer)) return `it comes from ${peer}`;
  const forwarded = [...headers.keys()].find((name) => FORWARDED.test(name));
  if (forwarded !== undefined) return `it was forwarded (${forwarded})`;
  const host = headers.get('host') ?? new URL(request.url).host;
  if (!isLocalHost(host)) return `its Host is "${host}"`;
  const origin = headers.get('origin');
  if (origin !== null && !isLocalHost(hostOf(origin))) return `its Origin is "${origin}"`;
  return isProduction() ? 'NODE_ENV is production' : undefined;
}

function isLocalHost(host: string | undefined): boolean {
  return host !== undefined && LOCAL_HOSTS.has(host.replace(/:\d+$/, '').toLowerCase());
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

function isProduction(): boolean {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env?.['NODE_ENV'] === 'production';
}

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i;

/** H3. A JSON type makes a browser ask first, and nobody here says yes. */
function assertNotForeign(request: Request): void {
  if (JSON_TYPE.test(request.headers.get('content-type') ?? '')) return;
  const origin = request.headers.get('origin');
  const host = request.headers.get('host') ?? new URL(request.url).host;
  if (origin !== null && hostOf(origin) === host) return;
  throw forbidden(
    'Cannot take this request: its content-type is not JSON, and no Origin says that it comes from a page of this host. Send content-type: application/json.',
  );
}

function forbidden(message: string): DurableError {
  return new DurableError('forbidden', message);
}
