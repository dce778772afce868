/** What happened to an approval, by whom and from where: notes of its row, which nothing takes back. */

import { decodeValue, encodeValue } from '../../runtime/codec.ts';
import type { Payload } from '../../runtime/codec.ts';
import { DurableError } from '../../runtime/errors.ts';

export interface AuditEntry {
  /**
   * `notified`: somebody was told of it. `viewed`: noted once for each person. `refused`: an answer that did not count, and `why`. `revoked`: links were
   * taken back.
   */
  type:
    | 'requested'
    | 'notified'
    | 'notification_failed'
    | 'reminded'
    | 'escalated'
    | 'viewed'
    | 'answered'
    | 'refused'
    | 'revoked'
    | 'expired';
  at: number;
  /** Who; null for what happens by itself. */
  by: string | null;
  /** Where it came in: `api`, `chat`, `link`, `cli`, `code`. */
  from: string | null;
  /** Of an answer, and of one that was refused: what was said. */
  approved?: boolean;
  /** Of an answer: what was given as its reason. Of a refusal and of what failed: why. */
  why?: string;
  /** Of an escalation: until when it can be answered now. */
  expiresAt?: number;
  /** Of links that were taken back: whose; everybody's where it is absent. */
  to?: string;
}

/** Notes of one id are one: what is written again after a crash does not count twice. */
export interface AuditNote extends AuditEntry {
  id: string;
}

export function encodeNote(note: AuditNote): Payload {
  return encodeValue(note, 'a note of an approval');
}

/** Oldest first. A note that cannot be read is left out. */
export function readNotes(notes: readonly Payload[]): AuditNote[] {
  const known = new Map<string, AuditNote>();
  for (const payload of notes) {
    const note = readNote(payload);
    if (note !== undefined && !known.has(note.id)) known.set(note.id, note);
  }
  return [...known.values()];
}

function readNote(payload: Payload): AuditNote | undefined {
  try {
    return decodeValue(payload) as AuditNote;
  } catch (error) {
    if (DurableError.is(error, 'value_corrupt')) return undefined;
    throw error;
  }
}
