/** Requests and responses of webhooks as they are stored: the request as the payload of its hook, the response as one chunk of bytes. */

import { DurableError } from '../runtime/errors.ts';

/** What the row of a webhook says of it. */
export interface WebhookDetails {
  /** Answered at once (`none`: 202), by the one chunk of a stream of its own (`stored`), or of one that the delivery names (`manual`). */
  respond: 'none' | 'stored' | 'manual';
  timeoutMs: number;
  verify: string | null;
  methods: string[];
  maxBodyBytes: number;
}

/** The payload. Not the URL: its path is the token, which is stored nowhere. */
export interface StoredRequest {
  /** Names the delivery, and the stream of its response. */
  delivery: string;
  /** By which the sender knows it. */
  id: string | null;
  method: string;
  /** The query, with its question mark; '' without one. */
  search: string;
  headers: Array<[string, string]>;
  body: Uint8Array;
}

/** Largest body of a request: with its headers it has to fit into one stored value. */
export const MAX_REQUEST_BYTES = 700_000;

export function webhookPath(token: string): string {
  return `/webhooks/${encodeURIComponent(token)}`;
}

/** How the streams of responses begin that are there before a request is: kept as long as their run goes on. */
export const STATIC_RESPONSES = 'webhook-response:';

/** Holds what a webhook, by its hook's key, always answers. */
export function staticStream(key: string): string {
  return `${STATIC_RESPONSES}${key}`;
}

/** Holds what code answers to one delivery. */
export function responseStream(delivery: string): string {
  return `webhook:${delivery}`;
}

/** These are of one connection. */
const HOP_BY_HOP: ReadonlySet<string> = new Set(['connection', 'content-length', 'keep-alive', 'transfer-encoding']);

/** A line of JSON, then the body. Throws `invalid_argument` for what is no answer to a request. */
export async function encodeResponse(response: Response): Promise<Uint8Array> {
  if (!(response instanceof Response) || response.status < 200 || response.bodyUsed) {
    throw new DurableError(
      'invalid_argument',
      'Cannot answer a webhook with this: it is no Response, or its body was read already. Make a new one: new Response("text", { status: 200 }).',
    );
  }
  const headers = [...response.headers].filter(([name]) => !HOP_BY_HOP.has(name));
  const head = new TextEncoder().encode(`${JSON.stringify({ status: response.status, headers })}\n`);
  const body = new Uint8Array(await response.arrayBuffer());
  const whole = new Uint8Array(head.length + body.length);
  whole.set(head);
  whole.set(body, head.length);
  return whole;
}

const LINE_FEED = 10;

export function decodeResponse(bytes: Uint8Array): Response {
  const cut = bytes.indexOf(LINE_FEED);
  const { status, headers } = JSON.parse(new TextDecoder().decode(bytes.subarray(0, cut))) as {
    status: number;
    headers: Array<[string, string]>;
  };
  const body = bytes.slice(cut + 1);
  return new Response(body.length === 0 ? null : body, { status, headers });
}
