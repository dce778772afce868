/** Outputs of client-side tools, brought to the run that waits for them. */

import type { ClientToolOutput } from '../agent/run/approval-wait.ts';
import type { WayIn } from '../runtime/admission.ts';
import { encodeValue } from '../runtime/codec.ts';
import { DurableError } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import type { Hook, Store } from '../runtime/store.ts';
import { clientToolOf } from './waits.ts';

/** What a client-side tool (one without `execute`) answered. */
export type ToolOutput = ClientToolOutput & {
  toolCallId: string;
  /** Who sends it, for the records. */
  by?: string;
};

/** Throws `hook_not_found` if no call with this id waits in the run, `hook_already_resumed` if it has its output. */
export async function addToolOutput(
  { store, deliver, ids }: { store: Store; deliver: WayIn['deliver']; ids: Ids },
  run: string,
  output: ToolOutput,
): Promise<void> {
  const { toolCallId, by, ...answer } = output;
  const hook = await findCall(store, { run, toolCallId });
  const outcome = await deliver({
    to: { hook: hook.tokenHash },
    id: ids.next(),
    payload: encodeValue(answer, `the output of the tool call "${toolCallId}"`),
    ...(by === undefined ? {} : { by }),
  });
  if (outcome?.kind === 'ok') return;
  throw new DurableError(
    'hook_already_resumed',
    `The tool call "${toolCallId}" of run "${run}" has its output already. The first one counts.`,
    {
      details: { run, toolCallId },
    },
  );
}

async function findCall(store: Store, { run, toolCallId }: { run: string; toolCallId: string }): Promise<Hook> {
  let answered: Hook | undefined;
  for (let cursor: string | undefined; ;) {
    const page = await store.listHooks({ run, kind: 'hook', limit: 500, ...(cursor === undefined ? {} : { cursor }) });
    const calls = page.items.filter((hook) => clientToolOf(hook)?.toolCallId === toolCallId);
    const open = calls.find((hook) => hook.status === 'open');
    if (open !== undefined) return open;
    answered ??= calls[0];
    if (page.cursor === null) break;
    cursor = page.cursor;
  }
  if (answered !== undefined) return answered;
  throw new DurableError(
    'hook_not_found',
    `No tool call "${toolCallId}" waits for its output in run "${run}". Check both ids; the run may not have asked yet.`,
    {
      details: { run, toolCallId },
    },
  );
}
