/** What waits for a person in a thread: what its run waits for, and what agents below have asked while the run still works. */

import type { UIMessage } from 'ai';
import type { ApprovalWait } from '../client/agent-api.ts';
import { APPROVAL_PART } from '../streams/wire.ts';
import type { ApprovalRequestData } from '../streams/wire.ts';
import type { ThreadSnapshot } from './thread-view.ts';

export function openApprovals({
  waits,
  messages,
  run,
}: Pick<ThreadSnapshot, 'waits' | 'messages' | 'run'>): ApprovalWait[] {
  const waited = waits.filter((wait) => wait.kind === 'approval');
  // Where it waits, it says itself what for.
  if (run?.status !== 'running') return waited;
  const shown = messages.find(({ id }) => id === run.messageId);
  return (shown?.parts ?? []).flatMap(toWait);
}

function toWait(part: UIMessage['parts'][number]): ApprovalWait[] {
  if (part.type !== APPROVAL_PART || !('id' in part) || part.id === undefined) return [];
  const { status, decidedBy: _, ...data } = part.data as ApprovalRequestData;
  if (status !== 'pending') return [];
  return [
    {
      kind: 'approval',
      approvalId: part.id,
      isInner: true,
      outputSchema: null,
      answers: [],
      ...data,
      question: data.question,
    },
  ];
}
