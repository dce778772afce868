/** What the worker and the supervisor tell each other over the process channel. */
import type { UIMessageChunk } from 'ai';

/** A turn or a tool call of the run. */
export interface Unit {
  key: string;
  kind: 'turn' | 'tool';
  /** The tool's name; `turn 1` for the first turn. */
  name: string;
}

export type FromWorker =
  /** Before anything runs: what the journal held already. */
  | { kind: 'recorded'; units: Unit[] }
  | { kind: 'chunk'; chunk: UIMessageChunk }
  /** A tool's body runs now. */
  | { kind: 'tool'; tool: string; key: string; attempt: number }
  /** The runtime warns. */
  | { kind: 'log'; text: string }
  /** A person has to decide; the worker goes on when it has a Decision. */
  | { kind: 'approval'; id: string; tool: string; input: RefundInput }
  /** The run waits and nothing is left to do here: the process exits. */
  | { kind: 'waiting' }
  | { kind: 'ended'; status: string; units: Unit[]; events: number };

export interface RefundInput {
  orderId: number;
  amount: number;
  reason: string;
}

export type Decision = { approved: true; input?: RefundInput } | { approved: false; reason: string };
