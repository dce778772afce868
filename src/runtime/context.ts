/**
 * The seam between durable code (agents, tools, hooks, streams, user workflows) and the runtime that executes a run.
 * Everything durable is asked for here; nothing above this file sees a store, a lease or a commit.
 *
 * Words: an *operation* is a keyed unit whose completion is journaled (a step, a turn, a tool). A *completion* is an event
 * that user code waits for; completions reach it in journal order, one at a time, after their commit. A *fact* is an event
 * that is only looked up. A *scope* is a key prefix with its own counters: the workflow, a tool's execute, an agent call.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { Payload } from './codec.ts';
import { DurableError } from './errors.ts';
import type { EventDraft, EventType, JournalEvent } from './event.ts';
import type { ClosedHook } from './hook-closing.ts';
import type { LineageRun } from './lineage.ts';
import type { Logger } from './logger.ts';
import type { Notice, Via } from './notices.ts';
import type { LedgerRow, LedgerScope, LedgerTotals, Message, NewHook, NewRun, Run, StreamPage } from './store.ts';

export interface RunContext {
  /** The row as it was claimed. */
  readonly run: Run;
  readonly logger: Logger;
  /** Where the routes of an app are reached from outside, without a slash at the end; undefined if nobody said so. */
  readonly publicUrl: string | undefined;
  /** What the application has set for all of its agents. Theirs to read: the runtime hands it on. */
  readonly agentDefaults: object | undefined;
  /** Aborted by cancel (reason: DurableError `cancelled`), a lost lease (`lease_lost`) and close (`runtime_closed`). */
  readonly signal: AbortSignal;
  /** True while recorded completions wait to be released. */
  readonly replaying: boolean;
  /** The events at the checkpoints that were there when this continuation began, in order. Empty if the run had none. */
  readonly checkpoints: readonly JournalEvent[];
  /** Store time of the last released event (before the first: of the last checkpoint, or the run's creation). The same on replay. */
  now(): number;
  /** The store's clock, now: estimated from its last answer, and another on replay. */
  storeNow(): number;
  /** Hex HMAC-SHA256 of the text under the secret of the run, the same on replay. Synchronous. */
  sign(text: string): string;

  /** The current scope (from AsyncLocalStorage). */
  scope(): Scope;
  /** The next free key of the current scope for a name: `<scope>/<name>#<occurrence>` (`#0` is left out). */
  nextKey(name: string): string;
  /** Runs `body` in a child scope; what it calls gets keys under `scope.path`. Counters start anew for each call. */
  within<T>(scope: NewScope, body: () => T): T;

  /**
   * Runs an operation unless its completion is recorded. Resolves (or rejects with the recorded error) after the commit
   * of its completion, in journal order, with a decoded copy of the value. While replaying, a body without a record waits
   * until all recorded completions are released. Asking again for a key that was released answers at once.
   */
  perform<T>(operation: Operation<T>): Promise<T>;
  /** The completion recorded for a key, released or not; undefined if there is none. Synchronous. */
  recorded(key: string): JournalEvent | undefined;
  /** Facts recorded for a key, in journal order. */
  facts(key: string): JournalEvent[];
  /** All events whose key starts with the prefix, in journal order (since the checkpoint). */
  journal(prefix: string): JournalEvent[];
  /** Commits facts and what belongs to them in one transaction; resolves after the commit. */
  append(batch: Append): Promise<void>;
  /**
   * Commits what `make` answers and moves the checkpoint to its first fact: recovery loads nothing before it but the facts at former
   * checkpoints, so each holds only what is new. `make` is called in the same breath, when every message that was received has been released, so that none stands before the checkpoint unseen.
   */
  moveCheckpoint(make: () => Append): Promise<void>;
  /**
   * Runs `body`; if the journal diverges under `prefix` meanwhile, or has completions there that `body` ended without, rejects with
   * `divergence` instead of parking the run, and takes the completions under the prefix out of replay (`journal` still has them).
   */
  guard<T>(prefix: string, body: () => Promise<T>): Promise<T>;

  /** Resolves when the time is reached; recorded as a timer under `key`. Milliseconds from now or a moment. Rejects with the signal's reason. */
  sleep(key: string, until: number | Date, signal?: AbortSignal): Promise<void>;
  /** Messages for a hook or approval key, released ones only. */
  buffer(key: string): MessageBuffer;
  /** Messages of kind `user`, released ones only, oldest first. `release` order is journal order. */
  readonly userMessages: MessageBuffer;
  /**
   * Adds a hook row to the next commit; no later body, chunk or child starts before it. Rejections arrive in its buffer. `schema` checks
   * payloads that are delivered in this process. `onCreate` is called when the row is added, not on replay: what it emits is committed with that.
   */
  createHook(hook: NewHook, options?: { schema?: StandardSchemaV1 | undefined; onCreate?: () => void }): void;
  /** Opens a hook again whose payload was refused; `times`: how often that happened to it before, plus one. */
  reopenHook(hook: NewHook, times: number): void;
  /**
   * Closes a hook, unless it takes one answer and has it; resolves with whether it did, recorded under `key`. Then all takes from its
   * buffer reject with `hook_expired` (or `hook_closed`, if it is disposed of) once the messages that came before are taken.
   * `unawaited`: no code goes on when it resolves.
   */
  closeHook(key: string, hook: ClosedHook, options?: { unawaited?: boolean }): Promise<boolean>;
  /** Appends to the notes of a hook, whoever has it; not journaled, so call it in a step's body. Throws `hook_not_found`. */
  noteHook(tokenHash: string, note: Payload): Promise<void>;
  /** A row for a child; `target` is a name that the runtime knows, or a registered workflow or agent. Throws `workflow_not_found`. */
  childRun(target: unknown, options: { id: string; input: unknown }): Promise<NewRun>;
  /** Starts a child (its row is committed before this resolves) and answers how it ended. `key` names it. */
  child(key: string, run: NewRun): Promise<unknown>;

  /** Buffers chunks for a stream of this run; a promise means: the buffer is full, await it. Throws `stream_closed`. */
  emit(stream: string, chunks: Payload[]): Promise<void> | undefined;
  /** Throws `value_too_large` or `stream_full` if the runtime's limits for what users write forbid the chunk. `held`: chunks that are to come before it. */
  checkRoom(stream: string, chunk: Payload, options?: { held?: number }): void;
  /** How many chunks this continuation has emitted to a stream, whoever did. */
  emittedTo(stream: string): number;
  /** Closes a stream after what was emitted. */
  closeStream(stream: string): void;
  /** Resolves when everything emitted so far is committed. */
  flush(): Promise<void>;
  /** Reads this run's own stream, what is committed of it. */
  readStream(stream: string, from: number): Promise<StreamPage>;
  /** This run, the one that it was started by, and so on, as far as they are there, with their inputs; not journaled, so call it in a step's body. `isSpokenTo`: whose senders are asked for. */
  lineage(isSpokenTo: (run: Run) => boolean): Promise<LineageRun[]>;
  /**
   * Shows a part in the message of an ancestor, at the call that waits for the child `via.key` of its; not journaled, so call it in a step's
   * body. A notice of the same id is one. What has ended hears nothing.
   */
  notify(via: Via, notice: Notice): Promise<void>;
  /** While it works the run does not count as waiting. Nothing of it is journaled: for what decides something that is. */
  aside<T>(work: () => Promise<T>): Promise<T>;
  /** Sums of the ledger as they are now; not journaled, so for decisions that are. */
  ledgerTotals(scopes: readonly LedgerScope[]): Promise<LedgerTotals[]>;
  /** The runs of this run's thread that began before this one, oldest first. */
  threadRuns(): Promise<Run[]>;
  /** Another run of this run's thread waits for its end. */
  isFollowed(): Promise<boolean>;
}

/** What a runtime tells each of its runs. */
export type Application = Pick<RunContext, 'publicUrl' | 'agentDefaults'>;

/** Kinds of scopes. `step` bodies are leaves: durable calls inside them are refused. */
export type ScopeKind = 'workflow' | 'agent' | 'tool' | 'step' | 'shield';

export interface NewScope {
  path: string;
  kind: ScopeKind;
  /** Durable waits inside go on although the run is cancelled. Inherited. */
  shielded?: boolean;
  /** What getStepMetadata and getToolMetadata answer. Inherited by scopes of kind `shield`. */
  metadata?: OperationMetadata;
  /** See `Operation`. */
  onChild?: ChildListener;
  /** See `Operation`. */
  place?: MessagePlace;
  /** In whose name its code acts, if that is known. Inherited. */
  requestedBy?: string;
}

/** Of code that a tool call of an agent runs, at any depth: what stands for it in the message that readers see. */
export interface MessagePlace {
  tool: string;
  toolCallId: string;
  /** Adds a part to the message, or replaces the one of its type and id; committed with what is recorded in the same breath. */
  show?: (part: { type: `data-${string}`; id: string; data: unknown }) => void;
  /** Who has spoken to the run after it was started. */
  senders?: () => string[];
}

/** Told of each child run when its start is recorded: what it emits is committed with that. */
export type ChildListener = (child: Pick<NewRun, 'id' | 'workflow'>) => void;

export interface Scope extends NewScope {
  readonly parent: Scope | null;
  /** Of an attempt of a step or tool: it is over. */
  readonly ended: boolean;
  /** `<path>/<name>`, without a counter. */
  keyOf(name: string): string;
  /** The attempt ends with what its code has written. */
  writes(open: OpenWrites): void;
}

/** What code of an attempt writes to a stream. */
export interface OpenWrites {
  /** Resolves when all that the scope's code asked to write is taken. */
  drained(scope: Scope): Promise<void>;
  /** The attempt has succeeded: what was kept for this moment is emitted now. */
  completes(scope: Scope): void;
}

export interface OperationMetadata {
  key: string;
  /** Stable across attempts: `<run id>/<key>`. */
  idempotencyKey: string;
  /** From 1. */
  attempt: number;
  startedAt: number;
  toolCallId?: string;
  signal: AbortSignal;
}

export interface Operation<T> {
  key: string;
  kind: 'step' | 'turn' | 'tool' | 'agent';
  /**
   * `signal` is aborted by the run's signal and by the timeout. Runs in a child scope of kind `step` (leaf) for steps and turns,
   * `tool` or `agent` (durable calls allowed) for the others. Called once per attempt.
   */
  body: (attempt: Attempt) => Promise<T> | T;
  /** Attempts after the first. Default 0. Turns: failures are never recorded, the error goes to the caller. */
  retries?: number;
  timeoutMs?: number;
  /** The body says when the timeout begins: what it waits for before is not its own time. */
  startsTimeout?: boolean;
  toolCallId?: string;
  /** For people, where the key does not say it: the tool's name. */
  label?: string;
  /** Of children that its code starts, unless a scope in between has a listener of its own. */
  onChild?: ChildListener;
  /** Inherited. */
  place?: MessagePlace;
  /** No code goes on when it completes. */
  unawaited?: boolean;
  /** Commit a `tool_started` fact before the body; the attempt then knows of earlier starts through `facts(key)`. */
  recordStart?: boolean;
  /** Facts for the completion's header. */
  meta?: (value: T) => Record<string, unknown>;
  /** Committed in the same transaction as the completion. */
  alongside?: (value: T) => Append;
}

export interface Attempt {
  attempt: number;
  signal: AbortSignal;
  /** Where the operation `startsTimeout`: its timeout counts from now on. */
  startTimeout: () => void;
}

/** What is committed together. */
export interface Append {
  facts?: EventDraft[];
  hooks?: NewHook[];
  ledger?: LedgerRow[];
  /** Move the checkpoint to the first fact of this batch. */
  checkpoint?: boolean;
}

/** A journaled message with its decoded payload. */
export type ReceivedMessage = Omit<Message, 'payload'> & { readonly value: unknown };

export interface MessageBuffer {
  /** The next message, removed. Counts as a durable wait (the run may suspend). */
  take(): Promise<ReceivedMessage>;
  /** The next one if it is there, without removing it. */
  peek(): ReceivedMessage | undefined;
  /** All that are there, removed. */
  drain(): ReceivedMessage[];
  /** Removes messages by id (those that a recorded turn consumed). */
  remove(ids: string[]): ReceivedMessage[];
}

/** Events that user code waits for; all others are facts. */
export const COMPLETIONS: ReadonlySet<EventType> = new Set<EventType>([
  'step_completed',
  'step_failed',
  'timer_fired',
  'hook_conflict',
  'hook_closed',
  'message_received',
  'cancel_requested',
  'turn_completed',
  'tool_completed',
  'tool_failed',
  'agent_completed',
  'agent_failed',
]);

export interface Frame {
  context: RunContext;
  scope: Scope;
}

/** The run and scope of the code that executes now. The only module state of the framework. */
export const currentFrame: AsyncLocalStorage<Frame> = new AsyncLocalStorage<Frame>();

/** The current run's context. Throws `outside_run`, naming the call. */
export function requireContext(call: string): RunContext {
  const frame = currentFrame.getStore();
  if (frame === undefined) {
    throw new DurableError(
      'outside_run',
      `Cannot call ${call} here: this code does not run inside a workflow or an agent's run. Call it from a function ` +
        'registered with createRuntime({ workflows }) and started by runtime.start, or from a tool of an agent that runs there.',
    );
  }
  if (frame.scope.kind === 'step') {
    throw new DurableError(
      'inside_step',
      `Cannot call ${call} inside the step "${frame.scope.path}": a step's body runs as one unit and cannot suspend. Call it from the ` +
        'workflow or tool around the step.',
    );
  }
  return frame.context;
}
