/** What the operations need of a client of Redis. Two have it: TCP (`tcp-connection.ts`) and REST (`rest-connection.ts`). */

import type { Payload } from '../../runtime/store.ts';
import type { Reply, Script } from './script.ts';

export interface Connection {
  /** Scripts answer it text, because it cannot read bytes. */
  readonly readsText: boolean;
  /** Runs a script with its keys and arguments. May send it more than once. */
  run(call: ScriptCall): Promise<Reply>;
  /** A command of the server itself, outside of scripts. */
  command(name: string, ...args: string[]): Promise<Reply>;
  /** Opens a subscription of its own; the answer closes it. */
  subscribe(channel: string, subscriber: Subscriber): () => void;
  close(): Promise<void>;
}

export interface ScriptCall {
  script: Script;
  key: string;
  /** The environment and the request. */
  texts: [string, string];
  payloads: Payload[];
}

export interface Subscriber {
  message(text: string): void;
  /** It hears from now on; what was said before it did not hear. */
  open(): void;
  /** It hears nothing until it is opened again, by itself. */
  lost(): void;
}

export function isUnknownScript(message: string): boolean {
  return message.startsWith('NOSCRIPT') || message.includes('NOSCRIPT No matching script');
}
