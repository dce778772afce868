/**
 * Every error that everturn raises, as one class with a closed union of codes.
 * Each code has a heading of the same name in docs/errors.md.
 */

export const ERROR_CODES = [
  'approval_decided',
  'approval_denied',
  'approval_not_found',
  'body_too_large',
  'budget_exceeded',
  'cancelled',
  'connection_lost',
  'crash_loop',
  'divergence',
  'duplicate_key',
  'duplicate_name',
  'forbidden',
  'history_not_accepted',
  'hook_already_resumed',
  'hook_closed',
  'hook_conflict',
  'hook_expired',
  'hook_not_found',
  'inside_step',
  'internal_error',
  'invalid_argument',
  'invalid_duration',
  'invalid_offset',
  'lease_lost',
  'method_not_allowed',
  'model_failed',
  'offset_expired',
  'outside_run',
  'payload_invalid',
  'price_unknown',
  'question_not_found',
  'question_settled',
  'response_unexpected',
  'route_not_found',
  'run_conflict',
  'run_failed',
  'run_not_found',
  'run_parked',
  'runtime_closed',
  'secret_unknown',
  'signature_invalid',
  'step_failed',
  'step_timeout',
  'store_corrupt',
  'store_full',
  'store_newer',
  'store_read_only',
  'store_unavailable',
  'stream_closed',
  'stream_full',
  'thread_busy',
  'thread_not_found',
  'tool_in_doubt',
  'tool_not_found',
  'too_many_streams',
  'value_corrupt',
  'value_not_loaded',
  'value_not_serializable',
  'value_too_large',
  'verifier_missing',
  'webhook_unanswered',
  'workflow_not_found',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

export interface DurableErrorOptions {
  /** True if the same call may succeed later without a change. Default false. */
  retryable?: boolean;
  cause?: unknown;
  /** Facts for programs: ids, limits, who and when. Must be JSON. */
  details?: Record<string, unknown>;
}

/**
 * An error of the framework. Branch on `code`; the message is for people and may change.
 * The message says what was being done, why it failed and what to do next; the docs anchor is appended here.
 */
export class DurableError extends Error {
  override readonly name: string = 'DurableError';
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly details: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, options: DurableErrorOptions = {}) {
    super(`${message} (docs/errors.md#${code})`, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.details = options.details ?? {};
  }

  /** Works across copies of this package in one process. */
  static is(value: unknown, code?: ErrorCode): value is DurableError {
    return (
      value instanceof Error &&
      value.name === 'DurableError' &&
      'code' in value &&
      (code === undefined || value.code === code)
    );
  }
}

/** What somebody threw has to say. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Thrown by user code in a step or tool: do not try again. */
export class FatalError extends Error {
  override readonly name: string = 'FatalError';

  static is(value: unknown): value is FatalError {
    return value instanceof Error && value.name === 'FatalError';
  }
}

export interface RetryableErrorOptions {
  /** Milliseconds, a duration such as "30s", or a moment. Without it the step's own backoff decides. */
  retryAfter?: number | string | Date;
  cause?: unknown;
}

/** Thrown by user code in a step or tool: try again, not before `retryAfter`. Counts as an attempt. */
export class RetryableError extends Error {
  override readonly name: string = 'RetryableError';
  readonly retryAfter: number | string | Date | undefined;

  constructor(message: string, options: RetryableErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.retryAfter = options.retryAfter;
  }

  static is(value: unknown): value is RetryableError {
    return value instanceof Error && value.name === 'RetryableError';
  }
}
