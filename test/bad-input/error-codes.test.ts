import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ERROR_CODES } from 'everturn';
import type { ErrorCode } from 'everturn';
import { expect, it } from 'vitest';

/** The test of each code: it triggers the error and expects it. */
const TESTS: Record<ErrorCode, string> = {
  approval_decided: 'bad-input/approvals.test.ts',
  approval_denied: 'approvals/inner-calls.test.ts',
  approval_not_found: 'bad-input/unknown.test.ts',
  body_too_large: 'server/bad-input.test.ts',
  budget_exceeded: 'budgets/stop.test.ts',
  cancelled: 'bad-input/troubles.test.ts',
  connection_lost: 'client/reconnect.test.ts',
  crash_loop: 'runtime/durability.test.ts',
  divergence: 'bad-input/troubles.test.ts',
  duplicate_key: 'bad-input/names-and-keys.test.ts',
  duplicate_name: 'bad-input/names-and-keys.test.ts',
  forbidden: 'server/access.test.ts',
  history_not_accepted: 'server/forgery.test.ts',
  hook_already_resumed: 'bad-input/hooks.test.ts',
  hook_closed: 'bad-input/hooks.test.ts',
  hook_conflict: 'bad-input/hooks.test.ts',
  hook_expired: 'runtime/hook-expiry.test.ts',
  hook_not_found: 'bad-input/unknown.test.ts',
  inside_step: 'bad-input/places.test.ts',
  internal_error: 'server/errors.test.ts',
  invalid_argument: 'bad-input/names-and-keys.test.ts',
  invalid_duration: 'bad-input/durations.test.ts',
  invalid_offset: 'server/offsets.test.ts',
  lease_lost: 'bad-input/troubles.test.ts',
  method_not_allowed: 'server/streams.test.ts',
  model_failed: 'bad-input/troubles.test.ts',
  offset_expired: 'streams/retention.test.ts',
  outside_run: 'bad-input/places.test.ts',
  payload_invalid: 'bad-input/hooks.test.ts',
  price_unknown: 'budgets/prices.test.ts',
  question_not_found: 'questions/questions.test.ts',
  question_settled: 'questions/questions.test.ts',
  response_unexpected: 'client/reconnect.test.ts',
  route_not_found: 'server/bad-input.test.ts',
  run_conflict: 'bad-input/names-and-keys.test.ts',
  run_failed: 'bad-input/names-and-keys.test.ts',
  run_not_found: 'bad-input/unknown.test.ts',
  run_parked: 'bad-input/troubles.test.ts',
  runtime_closed: 'bad-input/names-and-keys.test.ts',
  secret_unknown: 'app/secrets.test.ts',
  signature_invalid: 'server/webhook-verifiers.test.ts',
  step_failed: 'bad-input/troubles.test.ts',
  step_timeout: 'bad-input/troubles.test.ts',
  store_corrupt: 'stores/sqlite-file.test.ts',
  store_full: 'stores/sqlite-file.test.ts',
  store_newer: 'stores/sqlite-file.test.ts',
  store_read_only: 'stores/sqlite-file.test.ts',
  store_unavailable: 'stores/sqlite-file.test.ts',
  stream_closed: 'streams/writable.test.ts',
  stream_full: 'streams/writable.test.ts',
  thread_busy: 'bad-input/names-and-keys.test.ts',
  thread_not_found: 'bad-input/unknown.test.ts',
  tool_in_doubt: 'bad-input/troubles.test.ts',
  tool_not_found: 'bad-input/tools.test.ts',
  too_many_streams: 'server/connections.test.ts',
  value_corrupt: 'runtime/chunk.test.ts',
  value_not_loaded: 'runtime/large-values.test.ts',
  value_not_serializable: 'bad-input/values.test.ts',
  value_too_large: 'bad-input/values.test.ts',
  verifier_missing: 'server/webhook-verifiers.test.ts',
  webhook_unanswered: 'server/webhooks.test.ts',
  workflow_not_found: 'bad-input/unknown.test.ts',
};

/** Outside comments. Whether the test expects it there is for its reader to see. */
function names(source: string, code: string): boolean {
  return source.replaceAll(/^\s*(?:\/\/|\/?\*).*$|\s\/\/\s.*$/gm, '').includes(`'${code}'`);
}

it.each(ERROR_CODES)('%s is named in the test that is to expect it', (code) => {
  expect(names(readFileSync(join(import.meta.dirname, '..', TESTS[code]), 'utf8'), code)).toBe(true);
});

it.each(["// 'forbidden'", "  /** 'forbidden' */", " * 'forbidden'", "check(); // 'forbidden'", "'forbidden_more'"])(
  'a code is not named by %s',
  (source) => expect(names(source, 'forbidden')).toBe(false),
);
