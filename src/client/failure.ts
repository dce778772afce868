/** What went wrong with a request, and whether asking again can help. */

import { DurableError } from '../runtime/errors.ts';
import type { ErrorCode } from '../runtime/errors.ts';

/** A try that failed; the next one may succeed. */
export class TransientFailure extends Error {
  override readonly name: string = 'TransientFailure';
  readonly retryAfterMs: number;

  constructor(message: string, options: { cause?: unknown; retryAfterMs?: number } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.retryAfterMs = options.retryAfterMs ?? 0;
  }
}

interface ErrorBody {
  error: { code: ErrorCode; message: string; details?: Record<string, unknown> };
}

const TRANSIENT = [408, 425, 429];
const MOST_RETRY_AFTER_MS = 30_000;

/**
 * A response that is no success. The server's own errors are final, except that it cannot serve now (503). An error of 500 and above
 * that is not the server's comes from something between, which does not know whether the server is back.
 */
export async function toFailure(response: Response): Promise<DurableError | TransientFailure> {
  const { status } = response;
  const body = await readErrorBody(response);
  const retryAfterMs = Math.min(Number(response.headers.get('retry-after') ?? 0) * 1000 || 0, MOST_RETRY_AFTER_MS);
  if (status === 503 || TRANSIENT.includes(status) || (status >= 500 && body === undefined)) {
    return new TransientFailure(body?.error.message ?? `${response.url} answered ${status}`, { retryAfterMs });
  }
  return body === undefined ? unexpected(response, `with status ${status}`) : fromBody(body);
}

/** Something else than the server answered, or refused before it was asked. */
export function unexpected(response: Response, how: string): DurableError {
  const { status, url } = response;
  return new DurableError(
    'response_unexpected',
    `The request to ${url} was answered ${how}, which is no answer of everturn. Check \`api\`, what stands before the server, and who may do this.`,
    { details: { status, url } },
  );
}

async function readErrorBody(response: Response): Promise<ErrorBody | undefined> {
  try {
    const body = (await response.json()) as Partial<ErrorBody> | null;
    return typeof body?.error?.code === 'string' ? (body as ErrorBody) : undefined;
  } catch {
    // Not JSON, or cut: then it is not the server's, and the status has to do.
    return undefined;
  }
}

function fromBody({ error: { code, message, details = {} } }: ErrorBody): DurableError {
  // The constructor adds the anchor, which the server's message has already.
  return new DurableError(code, message.replace(/ \(docs\/errors\.md#\w+\)$/, ''), { details });
}
