/** What a worker commits for a run that it has claimed and does not execute. Nothing is recorded: what is there stays as it is. */

import { encodeValue } from './codec.ts';
import { DurableError } from './errors.ts';
import type { Claim, Commit } from './store.ts';

export interface HandbackOptions {
  /** Of the commit. */
  id: string;
  leaseMs: number;
}

/** The worker closes: another one takes the run at once. */
export function handBack(claim: Claim, options: HandbackOptions): Commit {
  return bareCommit(claim, { ...options, number: 1, then: { kind: 'yield' } });
}

/** The run cannot be read: it is parked, else it would be claimed again and again for nothing. */
export function parkUnreadable(claim: Claim, { error, ...options }: HandbackOptions & { error: DurableError }): Commit {
  const details = encodeValue({ message: error.message, ...error.details }, 'the reason of parking');
  return bareCommit(claim, { ...options, number: 1, then: { kind: 'park', code: error.code, details } });
}

/** The run itself is at fault, or what this process knows of it, not the store. */
export function isUnreadable(error: unknown): error is DurableError {
  return DurableError.is(error, 'value_corrupt') || DurableError.is(error, 'secret_unknown');
}

/** A commit that records nothing. */
export function bareCommit(
  { run, token }: Pick<Claim, 'run' | 'token'>,
  options: Pick<Commit, 'id' | 'leaseMs' | 'number' | 'then'>,
): Commit {
  return {
    ...options,
    run: run.id,
    token,
    expect: run.head,
    events: [],
    chunks: [],
    hooks: { create: [], close: [] },
    starts: [],
    cancels: [],
    ledger: [],
    seen: run.seen,
    received: run.inboxHead,
  };
}
