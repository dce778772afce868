/** Executes runs in requests: for platforms where a process lives no longer than the request that it answers. */

import type { Runtime } from '../app/create-runtime.ts';
import { readBody } from '../app/request-body.ts';
import type { Verifier } from '../app/resume-webhook.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { DurableError } from '../runtime/errors.ts';
import { consoleLogger } from '../runtime/logger.ts';
import type { Logger } from '../runtime/logger.ts';
import { errorResponse } from './http-error.ts';
import { jsonResponse } from './json.ts';

export interface HandlerOptions {
  /** How long a request may take, in ms: less than the platform allows. Runs yield at a boundary when it is nearly over. */
  maxDurationMs: number;
  /** Who may make it execute runs: `qstash(...)`, `standardWebhooks(...)`. */
  verify: Verifier;
  /** Default: warnings and errors on the console. */
  logger?: Logger;
  /** For tests. */
  clock?: Clock;
}

/** Longer than a signature is good. */
const REMEMBERED_MS = 15 * 60_000;
const MOST_BYTES = 65_536;

/**
 * A function from a signed request to a response, which executes the runs that are due for as long as the time allows, and answers
 * `{ nextDueInMs }`. The runtime has `worker: { background: false }`. What is unsigned, or was used here before, is refused with 401
 * (`signature_invalid`). Throws `invalid_argument`.
 */
export function createHandler(runtime: Runtime, options: HandlerOptions): (request: Request) => Promise<Response> {
  const { maxDurationMs, verify, logger = consoleLogger(), clock = systemClock() } = options;
  if (!(maxDurationMs > 0) || typeof verify !== 'function') {
    throw new DurableError(
      'invalid_argument',
      'Cannot create a handler without its time and its verifier: write createHandler(runtime, { maxDurationMs: 25_000, verify: qstash({ ... }) }).',
    );
  }
  const used = new UsedIds(clock);
  return async (request) => {
    try {
      const id = await verifiedId(request, { verify, clock, logger });
      return jsonResponse(await used.once(id, () => runtime.drive({ maxDurationMs })));
    } catch (error) {
      return errorResponse(error, logger);
    }
  };
}

async function verifiedId(
  request: Request,
  { verify, clock, logger }: { verify: Verifier; clock: Clock; logger: Logger },
): Promise<string | undefined> {
  const { method, url, headers } = request;
  const body = await readBody(request, MOST_BYTES);
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(body);
  try {
    const answer = await verify({ method, url, headers, body, text, now: clock.now() });
    if (answer === false) throw new Error('the verifier answered false');
    return typeof answer === 'object' ? answer.id : undefined;
  } catch (error) {
    if (DurableError.is(error, 'verifier_missing')) throw error;
    logger.warn({ code: 'signature_invalid', err: error }, 'a request to drive runs was refused');
    throw refused(error);
  }
}

/** The reason stays in the log. */
function refused(cause: unknown): DurableError {
  return new DurableError(
    'signature_invalid',
    'Cannot take this request: the verifier did not let it pass. Sign it with the secret that was agreed on, and send it once.',
    { cause },
  );
}

/** A request that somebody has kept is worth nothing; one that failed may come again. */
class UsedIds {
  readonly #clock: Clock;
  readonly #ids = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async once<T>(id: string | undefined, take: () => Promise<T>): Promise<T> {
    if (id === undefined) return take();
    const now = this.#clock.now();
    for (const [old, at] of this.#ids) if (at < now - REMEMBERED_MS) this.#ids.delete(old);
    if (this.#ids.has(id)) throw refused(new Error(`the request "${id}" was used before`));
    this.#ids.set(id, now);
    try {
      return await take();
    } catch (error) {
      this.#ids.delete(id);
      throw error;
    }
  }
}
