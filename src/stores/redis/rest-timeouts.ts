/** Ends requests that nobody answers. The client asks for a signal in the moment in which it sends. */

import type { Clock } from '../../runtime/clock.ts';

export interface RequestTimeouts {
  /** For the client. */
  signal(): AbortSignal;
  /** What is sent in this call ends in time. */
  within<T>(send: () => Promise<T>): Promise<T>;
}

export function createTimeouts(clock: Clock, afterMs: number): RequestTimeouts {
  let sending = new AbortController();
  return {
    signal: () => sending.signal,
    async within(send) {
      const controller = new AbortController();
      const cancel = clock.schedule(
        () => controller.abort(new Error(`There was no answer within ${afterMs} ms.`)),
        afterMs,
      );
      sending = controller;
      const sent = send();
      sending = new AbortController();
      try {
        return await sent;
      } finally {
        cancel();
      }
    },
  };
}
