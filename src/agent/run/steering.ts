/**
 * User messages on their way into a running loop.
 *
 *  S1 A message is handed to a turn while that turn's commit is open, and given up only after the commit that recorded it.
 *  S2 What a replayed turn consumed is taken out by the ids that it recorded, so that no message is applied twice.
 *  S3 What was steered in after the last turn of a call has not reached the model; it goes back to the front of the queue.
 */

import type { MessageBuffer } from '../../runtime/context.ts';
import type { CommittedTurn, SteeredMessage } from '../call/agent-call.ts';
import { toUserMessages } from '../agent-input.ts';
import type { StoredInput } from '../agent-input.ts';
import type { QueuedMessage } from './agent-state.ts';

export class Steering {
  /** Who has sent messages since the segment began. */
  readonly senders: Set<string> = new Set();
  readonly #userMessages: MessageBuffer;
  #waiting: QueuedMessage[];
  /** Taken by the last committed turn. */
  #afterLastTurn: QueuedMessage[] = [];
  /** Taken by turns of this segment, so that its re-entry can tell them from new ones. */
  readonly #taken = new Map<string, QueuedMessage>();

  constructor(userMessages: MessageBuffer, queued: readonly QueuedMessage[]) {
    this.#userMessages = userMessages;
    this.#waiting = [...queued];
  }

  /** S1. All messages that no turn has taken; the same again if the turn fails. */
  offer(): SteeredMessage[] {
    this.#collect();
    return [...this.#waiting];
  }

  /** S2. */
  committed(turn: CommittedTurn): void {
    this.#collect();
    const ids = new Set(turn.steered);
    for (const message of this.#waiting) if (ids.has(message.id)) this.#taken.set(message.id, message);
    this.#waiting = this.#waiting.filter((message) => !ids.has(message.id));
    this.#afterLastTurn = turn.steered.flatMap((id) => this.#taken.get(id) ?? []);
  }

  /** S3. What has not reached the model when a call has ended, oldest first. */
  undelivered(): QueuedMessage[] {
    this.#collect();
    return [...this.#afterLastTurn, ...this.#waiting];
  }

  /** What no turn has taken, oldest first. */
  untaken(): QueuedMessage[] {
    this.#collect();
    return [...this.#waiting];
  }

  #collect(): void {
    for (const message of this.#userMessages.drain().flatMap(toQueued)) {
      this.#waiting.push(message);
      if (message.by !== undefined) this.senders.add(message.by);
    }
  }
}

/** One message of the inbox may hold several user messages; the first keeps its id. */
export function toQueued(received: { id: string; value: unknown; inputHash: string | null }): QueuedMessage[] {
  const { inputHash } = received;
  const { by } = received.value as StoredInput;
  return toUserMessages(received.value).map((message, index) => ({
    id: index === 0 ? received.id : `${received.id}:${index}`,
    message,
    ...(index > 0 || inputHash === null ? {} : { inputHash }),
    ...(by === undefined ? {} : { by }),
  }));
}
