/** Reads a request's body up to a limit. */

import { DurableError } from '../runtime/errors.ts';

/** Throws `body_too_large`, at the latest after `limit` bytes. */
export async function readBody(request: Request, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const announced = Number(request.headers.get('content-length') ?? 0);
  if (announced > limit) throw tooLarge(limit);
  if (request.body === null) return new Uint8Array(0);
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of request.body) {
    size += part.byteLength;
    if (size > limit) throw tooLarge(limit);
    parts.push(part);
  }
  return join(parts, size);
}

function join(parts: readonly Uint8Array[], size: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

function tooLarge(limit: number): DurableError {
  return new DurableError(
    'body_too_large',
    `Cannot take this body: it has more than ${limit} bytes. Send less, or set maxBodyBytes of createApp.`,
    { details: { limit } },
  );
}
