/** Errors as responses: one table from code to status. Never a stack. */

import { DurableError } from '../runtime/errors.ts';
import type { ErrorCode } from '../runtime/errors.ts';
import type { LogFields, Logger } from '../runtime/logger.ts';
import { jsonResponse } from './json.ts';

/** By code; docs/PROTOCOL.md has the same table. Those of 500 are what no request should lead to. */
export const STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid_argument: 400,
  history_not_accepted: 400,
  invalid_offset: 400,
  invalid_duration: 400,
  value_not_serializable: 400,
  signature_invalid: 401,
  forbidden: 403,
  run_not_found: 404,
  thread_not_found: 404,
  approval_not_found: 404,
  question_not_found: 404,
  hook_not_found: 404,
  tool_not_found: 404,
  workflow_not_found: 404,
  route_not_found: 404,
  method_not_allowed: 405,
  thread_busy: 409,
  run_conflict: 409,
  approval_decided: 409,
  question_settled: 409,
  hook_already_resumed: 409,
  run_parked: 409,
  cancelled: 409,
  hook_closed: 410,
  hook_expired: 410,
  offset_expired: 410,
  body_too_large: 413,
  value_too_large: 413,
  payload_invalid: 422,
  too_many_streams: 429,
  store_unavailable: 503,
  store_full: 503,
  store_read_only: 503,
  runtime_closed: 503,
  verifier_missing: 503,
  webhook_unanswered: 504,
  approval_denied: 500,
  budget_exceeded: 500,
  connection_lost: 500,
  crash_loop: 500,
  divergence: 500,
  duplicate_key: 500,
  duplicate_name: 500,
  hook_conflict: 500,
  inside_step: 500,
  internal_error: 500,
  lease_lost: 500,
  model_failed: 500,
  outside_run: 500,
  price_unknown: 500,
  response_unexpected: 500,
  run_failed: 500,
  secret_unknown: 500,
  step_failed: 500,
  step_timeout: 500,
  store_corrupt: 500,
  store_newer: 500,
  stream_closed: 500,
  stream_full: 500,
  tool_in_doubt: 500,
  value_corrupt: 500,
  value_not_loaded: 500,
};

/** No browser takes the bytes for something else, nor into a page of another origin. */
export const SAFE_HEADERS: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
};

const HEADERS: Partial<Record<number, Record<string, string>>> = {
  405: { allow: 'GET, HEAD' },
  /** Seconds. */
  429: { 'retry-after': '5' },
  503: { 'retry-after': '1' },
};

/** What is no `DurableError` is logged and answered without a word of it. */
export function errorResponse(error: unknown, logger: Logger): Response {
  const known = DurableError.is(error) ? error : undefined;
  const status = statusOf(error);
  if (status >= 500) logFailure(error, { logger, about: {}, what: 'a request failed' });
  const { code, message, details } = known ?? internalError();
  return jsonResponse(
    { error: { code, message, details } },
    { status, headers: { ...SAFE_HEADERS, ...HEADERS[status], ...allowed(details) } },
  );
}

/** An error if it is the server's, else a warning. */
export function logFailure(
  error: unknown,
  { logger, about, what }: { logger: Logger; about: LogFields; what: string },
): void {
  const fields = { ...about, err: error, code: DurableError.is(error) ? error.code : 'internal_error' };
  if (statusOf(error) >= 500) logger.error(fields, what);
  else logger.warn(fields, what);
}

function statusOf(error: unknown): number {
  return DurableError.is(error) ? STATUS[error.code] : STATUS.internal_error;
}

/** Of a 405 that says what is allowed. */
function allowed({ allow }: Record<string, unknown>): Record<string, string> {
  return typeof allow === 'string' ? { allow } : {};
}

export function routeNotFound(method: string, path: string): DurableError {
  return new DurableError(
    'route_not_found',
    `There is no route ${method} ${path}. Check the path and the base path of createApp.`,
    { details: { method, path } },
  );
}

export function invalidArgument(message: string, details: Record<string, unknown>): DurableError {
  return new DurableError('invalid_argument', message, { details });
}

function internalError(): DurableError {
  return new DurableError('internal_error', 'The server failed at this request. Its log says why.');
}
