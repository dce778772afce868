/** Wakes runs through Upstash QStash, which calls a handler at the time at which a run is due. */

import type { OnDue } from '../app/due-notices.ts';
import { DurableError } from '../runtime/errors.ts';
import { sha256Hex } from '../runtime/signature.ts';

export interface QstashDeliveryOptions {
  /** `QSTASH_TOKEN` */
  token: string;
  /** Where `createHandler` listens, as QStash reaches it. */
  url: string;
  /** Default: QStash's own, "https://qstash.upstash.io". */
  baseUrl?: string;
}

/**
 * An `onDue` that publishes one message per run and due time; the same one is not published twice. QStash calls `url` then, and calls again
 * while that fails. Times are whole seconds, rounded up. Throws `invalid_argument`.
 */
export function qstashDelivery({ token, url, baseUrl = 'https://qstash.upstash.io' }: QstashDeliveryOptions): OnDue {
  if (typeof token !== 'string' || token === '' || !URL.canParse(url)) {
    throw new DurableError(
      'invalid_argument',
      'Cannot create qstashDelivery() without a token and a URL: write qstashDelivery({ token: process.env.QSTASH_TOKEN, url: "https://shop.example/drive" }).',
    );
  }
  return async ({ run, dueAt }) => {
    const response = await fetch(`${baseUrl}/v2/publish/${url}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'upstash-not-before': String(Math.ceil(dueAt / 1_000)),
        // An id of QStash has no colon and no more than 64 characters.
        'upstash-deduplication-id': sha256Hex(`${run}\n${dueAt}`),
      },
      body: JSON.stringify({ run, dueAt }),
    });
    await response.body?.cancel();
    if (response.ok) return;
    throw new DurableError(
      'store_unavailable',
      `QStash answered ${response.status} to a message for the run "${run}".`,
      {
        retryable: true,
      },
    );
  };
}
