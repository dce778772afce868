/**
 * Webhooks: hooks that an HTTP request resumes.
 *
 *  B1 The request is stored before its sender is answered; the same delivery is applied once.
 *  B2 The response of run code travels as a chunk of a stream of the run that the delivery names. Whoever holds the sender's connection reads
 *     it there: any process that serves, whichever executes the run. The first response counts.
 *  B3 Who may send is decided where the request arrives, by a verifier that the row names; functions and secrets are in no row.
 */

import { currentFrame, requireContext } from '../runtime/context.ts';
import type { RunContext, Scope } from '../runtime/context.ts';
import { durationMs } from '../runtime/duration.ts';
import type { Duration } from '../runtime/duration.ts';
import { DurableError, reasonOf } from '../runtime/errors.ts';
import { getWritable } from '../streams/writable.ts';
import type { HookOptions } from './create-hook.ts';
import { openHook } from './open-hook.ts';
import type { Hook } from './open-hook.ts';
import { encodeResponse, MAX_REQUEST_BYTES, responseStream, staticStream, webhookPath } from './webhook-wire.ts';
import type { StoredRequest, WebhookDetails } from './webhook-wire.ts';

export interface WebhookOptions extends Pick<HookOptions<never>, 'token' | 'many' | 'metadata' | 'expiresIn'> {
  /**
   * What the sender gets. Default: 202 without a body. A Response: always this one. `manual`: what `request.respondWith(response)` says, from
   * inside a step.
   */
  respondWith?: Response | 'manual';
  /**
   * How long a sender waits for a response: milliseconds, or text; at most a minute. Default 10 s. Then it gets 504 if it named the delivery (it
   * may send it again, and gets the response of the first time), else 202, as sending again would deliver twice.
   */
  timeout?: Duration;
  /** The name of the verifier that has to let a request pass: one of `createApp(runtime, { verifiers })`. Default: whoever has the URL may send. */
  verify?: string;
  /** Default: POST alone. */
  methods?: string[];
  /** Of a request's body. Default, and most, 700,000. */
  maxBodyBytes?: number;
}

/** A request as it came. Its methods may be called more than once. */
export interface WebhookRequest {
  /** The sender's id of the delivery, or one that was made here. */
  readonly id: string;
  readonly method: string;
  /** The webhook's URL, with the query. */
  readonly url: string;
  readonly headers: Headers;
  readonly body: Uint8Array;
  /** For what takes a Request; a new one each time. */
  readonly request: Request;
  text(): Promise<string>;
  /** Throws `payload_invalid` if the body is not JSON. */
  json<T = unknown>(): Promise<T>;
  /**
   * Answers the sender, of a webhook with `respondWith: 'manual'`. Call and await it inside a step or a tool; the first response counts.
   * Resolves also when nobody waits any more. Throws `invalid_argument`, `value_too_large`.
   */
  respondWith(response: Response): Promise<void>;
}

/** Await it for the (next) request, or iterate over requests. */
export interface Webhook extends Hook<WebhookRequest> {
  /** Below `publicUrl` of `createRuntime`; without that a path: `/api/webhooks/<token>`. Whoever has it may send, unless `verify` asks for more. */
  readonly url: string;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const MAX_TIMEOUT_MS = 60_000;

/**
 * Creates a hook that HTTP requests to its `url` resume, in a workflow or a tool; synchronous. `createApp` serves it. Throws `outside_run`,
 * `inside_step`, `invalid_argument`, `invalid_duration`.
 */
export function createWebhook(options: WebhookOptions = {}): Webhook {
  const context = requireContext('createWebhook()');
  const { token, many = false, expiresIn, metadata, respondWith } = options;
  const webhook = toDetails(options);
  let url = '';
  const hook = openHook<WebhookRequest>(context, {
    kind: 'webhook',
    token,
    many,
    expiresIn,
    schema: undefined,
    details: { metadata, webhook },
    read: (payload) => toRequest(payload as StoredRequest, { url, context, respond: webhook.respond }),
  });
  url = `${context.publicUrl ?? '/api'}${webhookPath(hook.token)}`;
  if (respondWith instanceof Response) void storeResponse(context, hook.key, respondWith);
  return Object.assign(hook, { url });
}

function toDetails(options: WebhookOptions): WebhookDetails {
  const { respondWith, timeout = DEFAULT_TIMEOUT_MS, verify = null, methods = ['POST'] } = options;
  const { maxBodyBytes = MAX_REQUEST_BYTES } = options;
  checkRespondWith(respondWith);
  checkNames({ verify, methods });
  const timeoutMs = durationMs(timeout, 'createWebhook({ timeout })');
  if (timeoutMs > MAX_TIMEOUT_MS)
    throw invalid(`no sender waits for longer than a minute, and "timeout" is ${timeoutMs} ms`);
  if (!(maxBodyBytes > 0 && maxBodyBytes <= MAX_REQUEST_BYTES)) {
    const why = `"maxBodyBytes" is ${String(maxBodyBytes)}, and a request is stored as one value`;
    throw invalid(`${why}: at most ${MAX_REQUEST_BYTES}`);
  }
  const respond = respondWith === undefined ? 'none' : respondWith === 'manual' ? 'manual' : 'stored';
  return { respond, timeoutMs, verify, methods, maxBodyBytes };
}

function checkRespondWith(respondWith: WebhookOptions['respondWith']): void {
  if (respondWith === undefined || respondWith === 'manual') return;
  if (!(respondWith instanceof Response)) throw invalid('"respondWith" is neither a Response nor "manual"');
  if (respondWith.bodyUsed) throw invalid('the body of "respondWith" was read already. Make a new Response');
}

function checkNames({ verify, methods }: Pick<WebhookDetails, 'verify' | 'methods'>): void {
  if (verify !== null && (typeof verify !== 'string' || verify === '')) {
    const how = 'Pass the function to createApp(runtime, { verifiers: { github: github(secret) } }) and name it here';
    throw invalid(`"verify" is no name. ${how}`);
  }
  if (!Array.isArray(methods) || methods.length === 0 || !methods.every((method) => /^[A-Z]+$/.test(method)))
    throw invalid('"methods" is no list such as ["POST", "PUT"]');
}

function invalid(why: string): DurableError {
  return new DurableError('invalid_argument', `Cannot create a webhook: ${why}.`);
}

/** A body can only be read asynchronously, so a Response is stored by a step of its own, once. */
async function storeResponse(context: RunContext, key: string, response: Response): Promise<void> {
  try {
    await context.perform({
      key: `${key}/response`,
      kind: 'step',
      unawaited: true,
      body: async () => write(staticStream(key), { bytes: await encodeResponse(response.clone()), commit: 'end' }),
    });
  } catch (error) {
    if (DurableError.is(error, 'cancelled')) return;
    const code = DurableError.is(error) ? error.code : 'internal_error';
    context.logger.error({ code, hook: key, err: error }, 'the response of a webhook could not be stored');
  }
}

async function write(
  namespace: string,
  { bytes, commit }: { bytes: Uint8Array; commit: 'soon' | 'end' },
): Promise<void> {
  const writer = getWritable({ namespace, commit }).getWriter();
  await writer.write(bytes);
  writer.releaseLock();
}

interface Received {
  url: string;
  context: RunContext;
  respond: WebhookDetails['respond'];
}

function toRequest(stored: StoredRequest, { url: base, context, respond }: Received): WebhookRequest {
  const { id, delivery, method, search, body, headers } = stored;
  const url = `${base}${search}`;
  const text = (): string => new TextDecoder().decode(body);
  return {
    id: id ?? delivery,
    method,
    url,
    headers: new Headers(headers),
    body,
    get request() {
      const hasBody = method !== 'GET' && method !== 'HEAD';
      return new Request(new URL(url, 'http://localhost'), {
        method,
        headers,
        ...(hasBody ? { body: body.slice() } : {}),
      });
    },
    text: async () => text(),
    json: async <T>() => parseJson(text(), id ?? delivery) as T,
    async respondWith(response) {
      if (respond !== 'manual')
        throw wrongPlace('its webhook answers by itself. Create it with { respondWith: "manual" }');
      const frame = currentFrame.getStore();
      if (frame?.context !== context || !isInAttempt(frame.scope))
        throw wrongPlace(
          'what is sent out belongs into a step. Write await step("answer", () => request.respondWith(response))',
        );
      await write(responseStream(delivery), { bytes: await encodeResponse(response), commit: 'soon' });
    },
  };
}

function isInAttempt({ kind, parent }: Scope): boolean {
  return kind === 'step' || kind === 'tool' || (kind === 'shield' && parent !== null && isInAttempt(parent));
}

function wrongPlace(why: string): DurableError {
  return new DurableError('invalid_argument', `Cannot answer the request of a webhook: ${why}.`);
}

function parseJson(text: string, delivery: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new DurableError(
      'payload_invalid',
      `Cannot read the body of the delivery "${delivery}" as JSON (${reasonOf(error)}). Look at its text(), and at what its headers say it is.`,
      { cause: error, details: { issues: [{ path: '', message: reasonOf(error) }] } },
    );
  }
}
