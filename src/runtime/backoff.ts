/** Retry arithmetic. Exponential backoff with full jitter (Marc Brooker, "Exponential Backoff And Jitter", AWS 2015). */

export interface Backoff {
  baseMs: number;
  capMs: number;
}

export const STEP_BACKOFF: Backoff = { baseMs: 500, capMs: 60_000 };

/** Milliseconds to wait after the n-th failure (from 1): uniform in [0, min(cap, base * 2^(n-1))). */
export function backoffMs(backoff: Backoff, failures: number, random: number): number {
  return Math.floor(random * Math.min(backoff.capMs, backoff.baseMs * 2 ** Math.min(failures - 1, 30)));
}
