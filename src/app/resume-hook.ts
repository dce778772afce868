/** Brings a hook its payload, which is checked where the run is in memory. */

import { checkPayload } from '../hooks/check-payload.ts';
import type { WayIn } from '../runtime/admission.ts';
import type { Clock } from '../runtime/clock.ts';
import { encodeValue } from '../runtime/codec.ts';
import { DurableError } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import { sha256Hex } from '../runtime/signature.ts';
import type { Hook, Store } from '../runtime/store.ts';
import type { Worker } from '../runtime/worker.ts';
import { assertResumed, hookNotFound } from './hook-answers.ts';

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
  if (worker?.hasHookSchema(tokenHash) === true) await checkBySchema(worker, await store.hook(tokenHash), payload);
  const answer = await deliver({
    to: { hook: tokenHash },
    id,
    payload: encodeValue(payload, 'the payload of a hook'),
    ...(by === undefined ? {} : { by }),
  });
  if (answer?.kind === 'not_found') throw whyNotFound(await store.hook(tokenHash));
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

async function checkBySchema(worker: Worker, hook: Hook | null, payload: unknown): Promise<void> {
  if (hook?.kind !== 'hook' || hook.status !== 'open') return;
  const schema = worker.hookSchema(hook.run, hook.tokenHash);
  if (schema === undefined) return;
  const next = 'Send it again in the right form; the hook still waits.';
  await checkPayload(schema, payload, { what: `hook "${hook.key}" of run "${hook.run}"`, next });
}

/** Who may answer a question is the application's to say: its id opens nothing. What somebody sends to a webhook has to be verified first. */
function whyNotFound(hook: Hook | null): DurableError {
  if (hook?.kind !== 'webhook') return hookNotFound();
  const { key, run } = hook;
  return new DurableError(
    'invalid_argument',
    `Cannot resume "${key}" of run "${run}" with a payload: it is a webhook. Send an HTTP request to its URL, or pass one to resumeWebhook(token, request).`,
    { details: { run, key } },
  );
}
