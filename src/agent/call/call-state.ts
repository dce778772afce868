/**
 * What one agent call knows while it runs: which turn it is at, which keys its tools have, what failed.
 *
 *  K1 A turn's number counts committed turns, so the SDK's own retries keep the key.
 *  K2 A tool's key is that of the turn whose response asked for it, remembered when the part passes: the SDK's pipeline runs
 *     ahead of counters. Calls approved in the history belong to `init`.
 *  K3 A policy decision is recorded with its turn, or after it and before it takes effect.
 *  K4 After a FatalError of a tool no model is called any more.
 *  K5 An edited input is that of a call in the history, which runs before the first turn: later calls may have its toolCallId too.
 */

import type { experimental_createSteering } from 'ai';
import { currentFrame } from '../../runtime/context.ts';
import type { Frame, Operation, RunContext } from '../../runtime/context.ts';
import type { EventDraft, JournalEvent } from '../../runtime/event.ts';
import { CallSpending } from './call-spending.ts';
import type { AgentCallFailure, AgentCallOptions, PreparedCall, SteeredMessage } from './agent-call.ts';
import type { DurableSettings } from '../durable-settings.ts';
import { OfflineReplay } from './offline-replay.ts';
import type { EditedInput } from '../tool/edited-input.ts';
import { toolKey } from '../tool/tool-key.ts';
import { CallDigests, digestOf } from '../turn/digest.ts';
import { PartIds } from '../turn/part-ids.ts';
import { toolCallIdsOf } from '../turn/turn-record.ts';
import type { TurnRecord } from '../turn/turn-record.ts';

type Steering = ReturnType<typeof experimental_createSteering>;

/** What the caller of a call adds to it; user code's own calls add nothing. */
export type CallBindings = Partial<
  Pick<
    AgentCallOptions,
    'intake' | 'onTurn' | 'edits' | 'outputs' | 'onPrepared' | 'ask' | 'model' | 'remembers' | 'senders' | 'budget'
  >
>;

export interface CallStateOptions {
  context: RunContext;
  path: string;
  signal: AbortSignal;
  settings: DurableSettings;
  bindings: CallBindings;
}

export class Turn {
  readonly n: number;
  readonly key: string;
  readonly replayed: boolean;
  /** Facts decided before the turn's commit was made. */
  readonly facts: EventDraft[] = [];
  /** The commit was made: later facts need their own. */
  sealed = false;
  /** The SDK names each streamed response before it names approvals. */
  responseNamed = false;
  approvals = 0;

  constructor(options: { n: number; key: string; replayed: boolean }) {
    this.n = options.n;
    this.key = options.key;
    this.replayed = options.replayed;
    this.sealed = options.replayed;
  }
}

export class CallState {
  readonly context: RunContext;
  readonly path: string;
  readonly signal: AbortSignal;
  readonly bindings: CallBindings;
  readonly callId: string;
  readonly partIds: PartIds = new PartIds();
  readonly digests: CallDigests = new CallDigests();
  /** Something of this call was recorded before it was entered. */
  readonly began: boolean;
  /** The completion of the call itself, if it was recorded: nothing live can happen any more. */
  readonly end: JournalEvent | undefined;
  readonly spending: CallSpending;
  steering: Steering | undefined;
  turn: Turn | undefined;
  /** The agent's own settings until prepareCall has answered. */
  prepared: PreparedCall;
  committed = 0;
  failure: AgentCallFailure | undefined;
  /** Keys of the tools that ran in this process. */
  readonly liveTools: Set<string> = new Set();
  #edits: ReadonlyMap<string, EditedInput> = new Map();
  readonly #offline: OfflineReplay | undefined;
  readonly #frame: Frame | undefined = currentFrame.getStore();
  readonly #replayedTurns = new Set<number>();
  readonly #turnOfCall = new Map<string, string>();
  readonly #failuresPlayed = new Map<string, number>();
  readonly #uses = new Map<string, number>();

  constructor(options: CallStateOptions) {
    this.context = options.context;
    this.path = options.path;
    this.signal = options.signal;
    this.prepared = { tools: {}, durable: options.settings };
    this.bindings = options.bindings;
    this.callId = `${options.context.run.id}/${options.path}`;
    this.end = options.context.recorded(options.path);
    const recorded = options.context.journal(`${options.path}/`);
    this.#offline = this.end === undefined ? undefined : new OfflineReplay(recorded, options.path);
    this.began = recorded.length > 0;
    this.spending = new CallSpending({
      ...options,
      binding: options.bindings.budget,
      isOver: this.end !== undefined,
      inFrame: (body) => this.inFrame(body),
    });
  }

  /** prepareCall has answered; `edits` are checked by its tools. */
  prepare(prepared: PreparedCall, edits: ReadonlyMap<string, EditedInput>): void {
    this.prepared = prepared;
    this.#edits = edits;
    this.bindings.onPrepared?.(prepared);
  }

  /** The input that a person gave to the call that runs now (K5). */
  editOf(toolCallId: string): EditedInput | undefined {
    return this.turn === undefined ? this.#edits.get(toolCallId) : undefined;
  }

  /** The tool's approvals are remembered. */
  isAskedOnce(tool: string): boolean {
    const { approvals = {} } = this.prepared.durable;
    return Object.hasOwn(approvals, tool) && approvals[tool]?.once === true;
  }

  /** A person has approved an equal call before, and that still counts. */
  remembers(tool: string, input: unknown): boolean {
    return this.isAskedOnce(tool) && this.bindings.remembers?.(tool, input) === true;
  }

  turnKey(n: number): string {
    return `${this.path}/t${n}`;
  }

  /** Enters the next turn (again, if it failed before). */
  beginTurn(): Turn {
    const key = this.turnKey(this.committed);
    this.turn = new Turn({ n: this.committed, key, replayed: this.context.recorded(key) !== undefined });
    return this.turn;
  }

  /**
   * The turn's commit was released: counts it, steers in what came with it, tells the caller. Before its `finish` goes on, so that the
   * SDK finds the messages at the step's end.
   */
  commitTurn(turn: Turn, record: TurnRecord): void {
    this.committed = turn.n + 1;
    if (turn.replayed) this.#replayedTurns.add(turn.n);
    if (this.failure?.kind === 'turn') this.failure = undefined;
    for (const toolCallId of toolCallIdsOf(record)) this.noteToolCall(turn, toolCallId);
    this.spending.turnCommitted(turn, record);
    const steered = record.steered ?? [];
    for (const message of steered) this.#steer(message);
    this.bindings.onTurn?.({ n: turn.n, key: turn.key, steered: steered.map(({ id }) => id), replayed: turn.replayed });
  }

  /** What is steered in after the last turn does not reach the model; the caller knows it by `onTurn`. */
  #steer({ id, message }: SteeredMessage): void {
    if (message.role === 'user') void this.steering?.steer(message, { id });
  }

  /** The journal had the turn before this process came to it. */
  isReplayedTurn(n: number): boolean {
    if (n === this.turn?.n) return this.turn.replayed;
    if (n < (this.turn?.n ?? 0)) return this.#replayedTurns.has(n);
    return this.context.recorded(this.turnKey(n)) !== undefined;
  }

  isReplayedTool(toolCallId: string): boolean {
    const key = this.baseToolKey(toolCallId);
    return !this.liveTools.has(key) && this.context.recorded(key) !== undefined;
  }

  /** The turn and all its tools were recorded. */
  isReplayedStep(n: number): boolean {
    return this.isReplayedTurn(n) && ![...this.liveTools].some((key) => key.startsWith(`${this.turnKey(n)}/`));
  }

  /** The part with a tool call passes: its tool's key is settled (K2). */
  noteToolCall(turn: Turn, toolCallId: string): void {
    if (this.#turnOfCall.get(toolCallId) === turn.key) return;
    this.#turnOfCall.set(toolCallId, turn.key);
  }

  knowsToolCall(toolCallId: string): boolean {
    return this.turn === undefined || this.#turnOfCall.has(toolCallId);
  }

  /** The key of the tool that the SDK handles now; a toolCallId that a turn repeats gets `#dup`. Call it once per use. */
  toolKey(toolCallId: string, use: 'policy' | 'execute'): string {
    const turnKey = this.#turnKeyOf(toolCallId);
    const uses = `${use} ${turnKey} ${toolCallId}`;
    const earlier = this.#uses.get(uses) ?? 0;
    this.#uses.set(uses, earlier + 1);
    return toolKey(turnKey, { toolCallId, earlier });
  }

  baseToolKey(toolCallId: string): string {
    return toolKey(this.#turnKeyOf(toolCallId), { toolCallId, earlier: 0 });
  }

  #turnKeyOf(toolCallId: string): string {
    return this.#turnOfCall.get(toolCallId) ?? this.turn?.key ?? `${this.path}/init`;
  }

  /** Stable on replay, unique over runs; those of approvals cannot be guessed. */
  nextId(): string {
    const turn = this.turn;
    if (turn === undefined) return this.#id('aid_', `${this.path}/init`);
    if (!turn.responseNamed) return this.responseId(turn);
    turn.approvals += 1;
    return this.#id('apr_', `${turn.key}/${turn.approvals}`);
  }

  responseId(turn: Turn): string {
    turn.responseNamed = true;
    return `res_${digestOf([this.context.run.id, turn.key])}`;
  }

  #id(prefix: string, text: string): string {
    return prefix + this.context.sign(`${prefix} ${this.context.run.id} ${text}`).slice(0, 32);
  }

  /** Durable calls of the loop are made in the scope where the call began: the SDK's streams lose the async context. */
  perform<T>(operation: Operation<T>): Promise<T> {
    if (this.#offline !== undefined) return this.#offline.answer(operation.key) as Promise<T>;
    return this.inFrame(() => this.context.perform(operation));
  }

  /** User code sees how a turn fails and goes on, so replay has to show it again; an agent's run enters its segment anew. */
  get keepsFailures(): boolean {
    return this.bindings.onTurn === undefined;
  }

  /**
   * A call of the tool waits for a person where it runs: user code has called the agent, and no segment ends there. Of calls in the history,
   * which are decided, none does.
   */
  waitsInPlace(tool: string): boolean {
    const { tools } = this.prepared;
    const executes = Object.hasOwn(tools, tool) && typeof tools[tool]?.execute === 'function';
    return this.keepsFailures && this.turn !== undefined && executes;
  }

  inFrame<T>(body: () => T): T {
    return this.#frame === undefined ? body() : currentFrame.run(this.#frame, body);
  }

  /** Runs a function of the user so that its durable calls get keys under `<path>/<name>`. */
  within<T>(name: string, body: () => T): T {
    return this.inFrame(() => this.context.within({ path: `${this.path}/${name}`, kind: 'agent' }, body));
  }

  /** How often a recorded failure of the turn was played so far; counts. */
  replayedFailures(key: string): number {
    const count = this.#failuresPlayed.get(key) ?? 0;
    this.#failuresPlayed.set(key, count + 1);
    return count;
  }

  fail(failure: AgentCallFailure): void {
    if (this.failure?.kind === 'tool') return;
    this.failure = failure;
  }

  /** K4 */
  assertNotFatal(): void {
    if (this.failure?.kind === 'tool') throw this.failure.error;
  }
}
