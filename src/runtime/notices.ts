/**
 * Notices: what a run lets an ancestor know of itself while the ancestor waits for the child between them. They come as messages that wake the
 * run, for the key of that child.
 *
 *  N1 A notice shows a part in the message of the tool call that waits, once: that it was shown is recorded in the same commit.
 *  N2 What was shown as pending is shown as closed when the child has ended without another word of it.
 */

import { decodeValue, encodeValue, stringifyValue } from './codec.ts';
import type { Payload } from './codec.ts';
import type { MessagePlace, ReceivedMessage } from './context.ts';
import { DurableError } from './errors.ts';
import type { RunCore } from './run-core.ts';
import type { Message, Store } from './store.ts';

/** A part of a message whose data say how it stands. */
export interface NoticedPart {
  type: `data-${string}`;
  id: string;
  data: { status: string };
}

interface Addressed {
  key: string;
  value: NoticedPart;
}

/** Where a notice goes: the ancestor, and the key of the child for which it waits. */
export interface Via {
  run: string;
  key: string;
}

export interface Notice {
  /** Notices of one id are one. */
  id: string;
  part: NoticedPart;
}

export async function deliverNotice(store: Pick<Store, 'deliver'>, { run, key }: Via, notice: Notice): Promise<void> {
  const payload = encodeNotice(key, notice.part);
  await store.deliver([{ to: { run }, id: notice.id, kind: 'wake', payload }]);
}

function encodeNotice(child: string, part: NoticedPart): Payload {
  return encodeValue({ key: noticesKey(child), value: part } satisfies Addressed, 'a notice');
}

/** Of a message that wakes the run: whom it is for, and what it says; undefined if it does nothing else. */
export function noticeIn({ kind, payload }: Message): { key: string; text: string } | undefined {
  if (kind !== 'wake' || payload.length === 0) return undefined;
  const notice = readNotice(payload);
  return notice === null ? undefined : { key: notice.key, text: stringifyValue(notice.value, 'a notice') };
}

/** One that cannot be read wakes the run all the same. */
function readNotice(payload: Payload): Addressed | null {
  try {
    return decodeValue(payload) as Addressed | null;
  } catch (error) {
    if (DurableError.is(error, 'value_corrupt')) return null;
    throw error;
  }
}

/** Shows what comes for the child with this key, from now on; the answer ends it (N2). */
export function showNotices(core: RunCore, child: string): () => void {
  const { place } = core.scope();
  const buffer = core.messages.buffer(noticesKey(child));
  const pending = new Map<string, NoticedPart>();
  const show = (message: string, part: NoticedPart): void => {
    if (part.data.status === 'pending') pending.set(part.id, part);
    else pending.delete(part.id);
    showOnce(core, { key: noticesKey(child), message, part, place });
  };
  const ignore = buffer.listen(({ id, value }: ReceivedMessage) => show(id, value as NoticedPart));
  return () => {
    ignore();
    for (const part of pending.values())
      show(`closed ${part.id}`, { ...part, data: { ...part.data, status: 'closed' } });
  };
}

interface Shown {
  key: string;
  message: string;
  part: NoticedPart;
  place: MessagePlace | undefined;
}

/** N1 */
function showOnce(core: RunCore, { key, message, part, place }: Shown): void {
  if (place?.show === undefined || core.journal.facts(key).some(({ meta }) => meta?.['message'] === message)) return;
  place.show({ ...part, data: { ...part.data, toolCallId: place.toolCallId } });
  core.record({ type: 'chunk_written', key, meta: { message } });
}

function noticesKey(child: string): string {
  return `${child}/notices`;
}
