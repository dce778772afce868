/**
 * A webhook's request, from its arrival to the answer of its sender. Nothing here needs the run in memory: what is to be done stands in the
 * hook's row, and a response of run code is read from the run's stream.
 *
 *  Q1 A request that its verifier does not let pass delivers nothing, and is logged.
 *  Q2 The sender's id of a delivery makes it the same delivery: it is stored once, however often it comes, and its response is the same.
 */

import type { WayIn } from '../runtime/admission.ts';
import type { Clock } from '../runtime/clock.ts';
import { decodeValue, encodeValue } from '../runtime/codec.ts';
import { decodeChunk } from '../runtime/chunk.ts';
import { DurableError } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import type { Logger } from '../runtime/logger.ts';
import { sha256Hex } from '../runtime/signature.ts';
import type { Hook, Store } from '../runtime/store.ts';
import { decodeResponse, responseStream, staticStream } from '../hooks/webhook-wire.ts';
import type { StoredRequest, WebhookDetails } from '../hooks/webhook-wire.ts';
import type { StreamReader } from '../streams/reader.ts';
import { assertResumed, hookNotFound } from './hook-answers.ts';
import { readBody } from './request-body.ts';

/** A request whose sender is in question. */
export interface SignedRequest {
  method: string;
  url: string;
  headers: Headers;
  body: Uint8Array;
  /** The body as UTF-8, to the byte. */
  text: string;
  /** Milliseconds since the epoch. */
  now: number;
}

export interface VerifiedRequest {
  /** The sender's id of the delivery, best one that the signature covers: a request with the same one is the same delivery. */
  id?: string | undefined;
  /** Answers the sender at once; nothing is delivered. For senders that ask whether anybody is here. */
  response?: Response;
}

/** Says that a request comes from whom it should. Refuses by throwing (its message goes to the log), or with `false`. */
export type Verifier = (
  request: SignedRequest,
) => VerifiedRequest | boolean | void | Promise<VerifiedRequest | boolean | void>;

export interface ResumeWebhookOptions {
  /** By the names that `createWebhook({ verify })` may say. */
  verifiers?: Readonly<Record<string, Verifier>>;
  /** Of the body, if the webhook takes more. */
  maxBodyBytes?: number;
}

interface WebhookParts {
  store: Store;
  reader: StreamReader;
  clock: Clock;
  ids: Ids;
  logger: Logger;
  deliver: WayIn['deliver'];
}

interface Webhook {
  hook: Hook;
  details: WebhookDetails;
}

/** See `Runtime`. */
export async function resumeWebhook(
  parts: WebhookParts,
  request: Request,
  options: ResumeWebhookOptions & { token: string },
): Promise<Response> {
  const hook = await parts.store.hook(sha256Hex(options.token));
  if (hook?.kind !== 'webhook') throw hookNotFound();
  const { webhook: details } = decodeValue(hook.details) as { webhook?: WebhookDetails };
  if (details === undefined) throw hookNotFound();
  const webhook = { hook, details };
  if (!details.methods.includes(request.method)) throw wrongMethod(webhook, request.method);
  const body = await readBody(request, Math.min(details.maxBodyBytes, options.maxBodyBytes ?? details.maxBodyBytes));
  const verified = await verify(parts, request, { ...webhook, body, verifiers: options.verifiers ?? {} });
  if (verified.response !== undefined) return verified.response;
  const delivery = await deliver(parts, request, { ...webhook, body, id: verified.id ?? null });
  return answer(parts, webhook, { delivery, isNamed: verified.id !== undefined, signal: request.signal });
}

function wrongMethod({ hook, details }: Webhook, method: string): DurableError {
  const allow = details.methods.join(', ');
  return new DurableError(
    'method_not_allowed',
    `Cannot ${method} the webhook "${hook.key}": it takes ${allow}. Send that, or name more in createWebhook({ methods }).`,
    { details: { method, allow } },
  );
}

/** Of requests that nobody signs: what the header says. */
const DELIVERY_ID = 'idempotency-key';

/** Q1 */
async function verify(
  { clock, logger }: WebhookParts,
  { method, url, headers }: Request,
  { hook, details, body, verifiers }: Webhook & { body: Uint8Array; verifiers: Readonly<Record<string, Verifier>> },
): Promise<VerifiedRequest> {
  const name = details.verify;
  if (name === null) {
    const id = headers.get(DELIVERY_ID);
    return id === null ? {} : { id };
  }
  const verifier = Object.hasOwn(verifiers, name) ? verifiers[name] : undefined;
  if (verifier === undefined) throw unknownVerifier(hook, { name, known: Object.keys(verifiers) });
  try {
    const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(body);
    const answer = await verifier({ method, url, headers, body, text, now: clock.now() });
    if (answer === false) throw new Error('the verifier answered false');
    return typeof answer === 'object' ? answer : {};
  } catch (error) {
    if (DurableError.is(error, 'verifier_missing')) throw error;
    const facts = { code: 'signature_invalid', run: hook.run, hook: hook.key, verifier: name };
    logger.warn({ ...facts, err: error }, 'a request to a webhook was refused');
    throw refused(name, error);
  }
}

/** The reason stays in the log: it would tell who forges what to do better. */
function refused(verifier: string, cause: unknown): DurableError {
  return new DurableError(
    'signature_invalid',
    `Cannot take this request: "${verifier}" did not let it pass. Sign it with the secret that was agreed on, and send it at once.`,
    { cause, details: { verifier } },
  );
}

function unknownVerifier({ key, run }: Hook, { name, known }: { name: string; known: string[] }): DurableError {
  return new DurableError(
    'verifier_missing',
    `Cannot take a request for the webhook "${key}" of run "${run}": this process has no verifier "${name}"${known.length === 0 ? '' : ` (it has ${known.join(', ')})`}. ` +
      `Pass it to createApp(runtime, { verifiers: { ${name}: ... } }).`,
    { retryable: true, details: { verifier: name, known } },
  );
}

/** Q2. Answers the delivery's own name. */
async function deliver(
  { deliver, ids, clock }: WebhookParts,
  request: Request,
  { hook, details, body, id }: Webhook & { body: Uint8Array; id: string | null },
): Promise<string> {
  const delivery = sha256Hex(`${hook.tokenHash}\n${hook.run}\n${id ?? ids.next()}`).slice(0, 32);
  const payload: StoredRequest = {
    delivery,
    id,
    method: request.method,
    search: new URL(request.url).search,
    headers: [...request.headers],
    body,
  };
  const answer = await deliver({
    to: { hook: hook.tokenHash, kind: 'webhook' },
    id: `webhook:${delivery}`,
    payload: encodeValue(payload, 'the request of a webhook'),
    ...(details.verify === null ? {} : { by: details.verify }),
  });
  assertResumed(answer, clock.now());
  return delivery;
}

interface Waiting {
  delivery: string;
  /** The sender has an id for it. */
  isNamed: boolean;
  /** Nobody waits any more. */
  signal: AbortSignal;
}

async function answer(parts: WebhookParts, { hook, details }: Webhook, waiting: Waiting): Promise<Response> {
  if (details.respond === 'none') return accepted();
  const { delivery, isNamed } = waiting;
  const stream = details.respond === 'manual' ? responseStream(delivery) : staticStream(hook.key);
  const found = await firstChunk(parts, { run: hook.run, stream, details, signal: waiting.signal });
  if (found.chunk !== undefined) return decodeResponse(found.chunk);
  // The run has ended without a word of it, the word is not kept, or a repetition would be another delivery.
  if (!found.isLate || !isNamed) return accepted();
  throw new DurableError(
    'webhook_unanswered',
    `The request is stored as delivery "${delivery}" of run "${hook.run}", which has not answered it within ${details.timeoutMs} ms. Send it again ` +
      'with the same id for the answer: it is not applied twice.',
    { retryable: true, details: { run: hook.run, timeoutMs: details.timeoutMs } },
  );
}

function accepted(): Response {
  return new Response(null, { status: 202 });
}

/** `isLate`: nothing came in time. */
async function firstChunk(
  { reader, clock }: WebhookParts,
  { run, stream, details, signal }: { run: string; stream: string; details: WebhookDetails; signal: AbortSignal },
): Promise<{ chunk?: Uint8Array; isLate: boolean }> {
  const deadline = new AbortController();
  const cancel = clock.schedule(() => deadline.abort(), details.timeoutMs);
  const cursor = reader.cursor({ run, stream, signal: AbortSignal.any([deadline.signal, signal]) });
  try {
    const payload = (await cursor.next())?.chunks[0];
    const chunk = payload === undefined ? undefined : decodeChunk(payload);
    if (chunk instanceof Uint8Array) return { chunk, isLate: false };
    return { isLate: deadline.signal.aborted };
  } catch (error) {
    // It was answered so long ago that the answer is not kept any more.
    if (DurableError.is(error, 'offset_expired')) return { isLate: false };
    throw error;
  } finally {
    cancel();
    cursor.finish();
  }
}
