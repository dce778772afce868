/** Steps, as users write them. */

import { currentFrame } from './context.ts';
import type { OperationMetadata } from './context.ts';
import { durationMs } from './duration.ts';
import type { Duration } from './duration.ts';
import { DurableError } from './errors.ts';
import { keyPart } from './key-part.ts';
import { openResult, storeResult } from './stored-stream.ts';

export interface StepOptions {
  /** Attempts after the first, with exponential backoff and full jitter. Default 3. */
  retries?: number;
  /** Per attempt. Default none. */
  timeout?: Duration;
  /** Replaces the key made of the name and its occurrence; unique within the scope while the step is open. */
  key?: string;
}

export interface StepMetadata {
  key: string;
  /** The same for every attempt: pass it to what the step calls, so that a repeated attempt has one effect. */
  idempotencyKey: string;
  /** From 1; rises with each attempt, across crashes too. */
  attempt: number;
  /** Aborted by the timeout, a cancel, a lost lease and close. */
  signal: AbortSignal;
}

const DEFAULT_RETRIES = 3;

/**
 * Runs `fn` once and records its result; afterwards the result is answered from the journal. The body runs again only if
 * an attempt failed, or the process died or lost its lease between the work and its record. Rejects with what the last
 * attempt threw. Throw `FatalError` to stop retrying and `RetryableError` to say when to go on.
 * A `ReadableStream` of JSON values or bytes as the result is read to its end and stored in the run's stream `step:<key>`; the workflow
 * gets one that reads it from there, any number of times (but once where the platform reads it natively, as `new Response` does).
 * Outside a run, and inside another step, it calls `fn` plainly.
 */
export function step<T>(name: string, fn: () => Promise<T> | T, options: StepOptions = {}): Promise<T> {
  checkStep(name, fn);
  const timeoutMs =
    options.timeout === undefined ? undefined : durationMs(options.timeout, `the timeout of step "${name}"`);
  const frame = currentFrame.getStore();
  if (frame === undefined || frame.scope.kind === 'step') return Promise.resolve().then(fn);
  const { context } = frame;
  const key =
    options.key === undefined ? context.nextKey(keyPart(name)) : context.scope().keyOf(`key:${keyPart(options.key)}`);
  const result = context.perform<unknown>({
    key,
    kind: 'step',
    body: ({ signal }) => {
      const value = fn();
      return value instanceof Promise
        ? value.then((settled: unknown) => storeResult(context, { key, value: settled, signal }))
        : storeResult(context, { key, value, signal });
    },
    retries: options.retries ?? DEFAULT_RETRIES,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
  return result.then((recorded) => openResult(context, recorded)) as Promise<T>;
}

/** Facts of the attempt that runs now. Throws `outside_run` where no step or tool runs. */
export function getStepMetadata(): StepMetadata {
  return requireMetadata('getStepMetadata()');
}

export function requireMetadata(call: string): OperationMetadata {
  const metadata = currentFrame.getStore()?.scope.metadata;
  if (metadata !== undefined) return metadata;
  throw new DurableError(
    'outside_run',
    `Cannot call ${call} here: no step or tool of a run executes. Call it in the body of a step or in a tool's execute.`,
  );
}

function checkStep(name: unknown, fn: unknown): void {
  if (typeof name === 'string' && name !== '' && typeof fn === 'function') return;
  throw new DurableError(
    'invalid_argument',
    'Cannot start a step: write step("name", async () => { ... }), the name a string that is not empty.',
  );
}
