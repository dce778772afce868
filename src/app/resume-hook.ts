/** Brings a hook its payload, which is checked where the run is in memory. */

import { checkPayload } from '../hooks/check-payload.ts';
import { isQuestion } from '../hooks/question.ts';
import type { WayIn } from '../runtime/admission.ts';
import type { Clock } from '../runtime/clock.ts';
import { encodeValue } from '../runtime/codec.ts';
import { DurableError } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import { sha256Hex } from '../runtime/signature.ts';
import type { Hook, Store } from '../runtime/store.ts';
import type { Worker } from '../runtime/worker.ts';
import { assertResumed, hookNotFound } from './hook-answers.ts';
import { isWebhook, takesRequests } from './resume-webhook.ts';

export interface ResumeHookOptions {
  /** Deduplicates deliveries: the sender's id of the message. Default: a new id for each call. */
  id?: string;
  /** Who sends it, for the records. */
  by?: string;
}

interface HookParts {
  store: Store;
  clock: Clock;
  ids: Ids;
  deliver: WayIn['deliver'];
  /** Of this process, if it executes runs. */
  worker: Worker | undefined;
}

/** Throws `hook_not_found`, `hook_already_resumed`, `hook_closed`, `payload_invalid`, `invalid_argument`. */
export async function resumeHook(
  { store, clock, ids, deliver, worker }: HookParts,
  payload: unknown,
  { token, id = ids.next(), by }: ResumeHookOptions & { token: string },
): Promise<void> {
  const tokenHash = sha256Hex(token);
  const hook = await store.hook(tokenHash);
  if (hook !== null) assertTakesPayloads(hook);
  const schema = hook === null ? undefined : worker?.hookSchema(hook.run, tokenHash);
  if (schema !== undefined && hook?.status === 'open') {
    const next = 'Send it again in the right form; the hook still waits.';
    await checkPayload(schema, payload, { what: `hook "${hook.key}" of run "${hook.run}"`, next });
  }
  const answer = await deliver({
    to: { hook: tokenHash },
    id,
    payload: encodeValue(payload, 'the payload of a hook'),
    ...(by === undefined ? {} : { by }),
  });
  assertResumed(answer, clock.now());
}

/** Throws `invalid_argument`. */
export function assertToken(token: unknown): void {
  if (typeof token === 'string' && token !== '') return;
  throw new DurableError(
    'invalid_argument',
    'Cannot resume a hook without its token: write resumeHook(hook.token, payload).',
  );
}

function assertTakesPayloads(hook: Hook): void {
  if (isQuestion(hook)) throw hookNotFound();
  if (isWebhook(hook)) throw takesRequests(hook);
}
