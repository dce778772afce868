/** Failures on order: by the handle or over HTTP (`failNext`), by a scenario's reply, or by a directive in a user text. */
import type { Conversation } from './conversation.ts';

export type FaultKind = '429' | '500' | 'cut' | 'error-event' | 'hang' | 'incomplete';

/** What goes wrong, when, and how often. */
export interface Fault {
  kind: FaultKind;
  /** Tokens to send first; without it, half of the response. Not for 429 and 500, which come before the response. */
  afterTokens?: number;
  /** How many requests fail; 1 unless given. */
  times?: number;
  /** Sent as `retry-after-ms` and `retry-after` with 429 and 500. */
  retryAfterMs?: number;
  /** Only the request for this turn of its scenario fails. */
  turn?: number;
  /** Only a request whose newest user text contains this fails. */
  userText?: string;
}

const faultKinds: readonly string[] = ['429', '500', 'cut', 'error-event', 'hang', 'incomplete'];

export function isFaultKind(kind: unknown): kind is FaultKind {
  return typeof kind === 'string' && faultKinds.includes(kind);
}

/** The faults that wait for a request; each is used up by the requests that it fails. */
export interface FaultList {
  add(fault: Fault): void;
  /** The first waiting fault that fits, one time less afterwards. */
  take(conversation: Conversation): Fault | undefined;
}

export function createFaultList(): FaultList {
  const waiting: { fault: Fault; left: number }[] = [];
  return {
    add(fault) {
      if (!isFaultKind(fault.kind))
        throw new TypeError(`Unknown fault kind "${String(fault.kind)}"; use one of ${faultKinds.join(', ')}.`);
      waiting.push({ fault, left: fault.times ?? 1 });
    },
    take(conversation) {
      const index = waiting.findIndex(({ fault }) => fits(fault, conversation));
      const found = waiting[index];
      if (!found) return undefined;
      found.left -= 1;
      if (found.left <= 0) waiting.splice(index, 1);
      return found.fault;
    },
  };
}

export function fits(fault: Fault, conversation: Conversation): boolean {
  if (fault.turn !== undefined && fault.turn !== conversation.turn) return false;
  return fault.userText === undefined || conversation.lastUserText.includes(fault.userText);
}

/** The fault that a user text orders, e.g. `[fault: cut afterTokens=5 times=2 turn=1]`. */
export function faultInText(text: string): Fault | undefined {
  const [, kind, options = ''] = /\[fault:\s*([\w-]+)([^\]]*)\]/.exec(text) ?? [];
  if (!isFaultKind(kind)) return undefined;
  const numbers = [...options.matchAll(/(afterTokens|times|retryAfterMs|turn)=(\d+)/g)];
  return { kind, ...Object.fromEntries(numbers.map(([, name, value]) => [name, Number(value)])) };
}
