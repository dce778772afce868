/**
 * An agent's run: a loop of segments over the state that the checkpoints make up.
 *
 *  A1 A segment's end is one commit: what it changed of the state (messages, the folded UI message), open approvals and their hook
 *     rows. Recovery starts there.
 *  A2 What reaches a segment's prompt is known at its checkpoint, or awaited durably; all else goes through turns, which
 *     record what they took. So a replay asks the model the same.
 *  A3 No user message is lost: what no turn took stands in the checkpoint, and a run with such messages is not done.
 *  A4 However the run ends, its result is a valid history: no call without a result, partial text once.
 */

import type { LanguageModelUsage, ModelMessage, UIMessageChunk } from 'ai';
import type { RunContext } from '../../runtime/context.ts';
import { draftEvent } from '../../runtime/event.ts';
import type { EventDraft } from '../../runtime/event.ts';
import type { SettledEnd } from '../../runtime/registrable.ts';
import type { StreamWrite } from '../../runtime/store.ts';
import { encodeChunk } from '../../runtime/chunk.ts';
import { foldMessage } from '../../streams/fold.ts';
import { createUiWriter } from '../../streams/ui-writer.ts';
import type { UiWriter } from '../../streams/ui-writer.ts';
import { DEFAULT_STREAM } from '../../streams/wire.ts';
import { recordAbandonedTurn } from './abandoned-turn.ts';
import type { StoredInput } from '../agent-input.ts';
import { addUsage } from '../turn/usage.ts';
import { toResult } from './agent-state.ts';
import type { AgentResult, AgentState, QueuedMessage } from './agent-state.ts';
import { rememberedOf, unusedAnswers, waitForAnswers } from './approval-wait.ts';
import type { Answered } from './approval-wait.ts';
import { validHistory } from '../history/valid-history.ts';
import { createInDoubtAsk } from '../tool/in-doubt-ask.ts';
import { foldStream, messageEnd, readMessageStream } from './message-stream.ts';
import type { FoldedStream } from './message-stream.ts';
import { recordedSegment } from '../history/recorded-segment.ts';
import type { PreparedCall } from '../call/agent-call.ts';
import { withClientOutputs } from '../history/client-output.ts';
import type { ClientOutputs } from '../history/client-output.ts';
import { recordedStep } from './recorded-step.ts';
import { runSegment, segmentPath, segmentPrefix } from './segment.ts';
import type { RunnableAgent } from './segment.ts';
import { hooksOf, readOutcome } from './segment-outcome.ts';
import { changeOf, restoredState } from './state-change.ts';
import type { StateChange } from './state-change.ts';
import { Steering, toQueued } from './steering.ts';
import { shownChunks } from './ui-chunks.ts';
import { readEarlierRuns, toParts } from '../history/thread.ts';
import type { EarlierRuns } from '../history/thread.ts';
import type { BudgetBinding } from '../budget/budget-gate.ts';
import { cheaperModelOf, withBudgetAnswers } from './run-budget.ts';
import { callDigest } from '../tool/approval-memory.ts';

export interface AgentRunOptions {
  context: RunContext;
  agent: RunnableAgent;
  input: StoredInput;
}

export class AgentRun {
  readonly #context: RunContext;
  readonly #agent: RunnableAgent;
  readonly #input: StoredInput;
  #state: AgentState;
  /** Of the segment that is open. */
  #steering: Steering | undefined;
  /** What the current segment starts with beyond the checkpoint: answers, or user messages. */
  #opening: ModelMessage[] = [];
  /** Inputs of the segment's approved calls that people changed, by tool call id. */
  #edits: ReadonlyMap<string, unknown> = new Map();
  /** The tools of the last call, and their settings; the agent's own until one was made. */
  #prepared: PreparedCall;
  /** What clients have answered before the segment. */
  #outputs: ClientOutputs = new Map();
  /** Answers to what the last segment left open, until all of them are there. */
  #answered: Answered[] = [];
  /** How the message of a run ends that was stopped or failed. */
  #settledEnd: UIMessageChunk[] | undefined;
  /** What its thread said before this run, and what was approved in it for good. */
  #earlier: Promise<EarlierRuns> | undefined;
  /** An earlier process may have written to the stream after the checkpoint. */
  #recovering: boolean;

  constructor({ context, agent, input }: AgentRunOptions) {
    this.#context = context;
    this.#agent = agent;
    this.#input = input;
    this.#prepared = agent;
    this.#state = restoredState(context);
    this.#recovering = context.checkpoints.length > 0 || context.run.epoch > 1;
  }

  /** Until nothing is left to do. */
  async run(): Promise<AgentResult> {
    for (;;) {
      while (!this.#state.done) await this.#advance();
      // The end was refused once, and the segment after it is in the journal.
      if (this.#context.journal(segmentPrefix(this.#state.segment)).length === 0) return toResult(this.#state);
      await this.#takeUserMessage();
    }
  }

  /** User messages came before the end was committed: goes on with them. */
  async reopen(): Promise<AgentResult> {
    if (this.#context.userMessages.peek() !== undefined) await this.#takeUserMessage();
    return this.run();
  }

  async #takeUserMessage(): Promise<void> {
    const received = await this.#context.userMessages.take();
    const queued = received.kind === 'user' ? toQueued(received) : [];
    this.#state = { ...this.#state, queued, done: queued.length === 0 };
  }

  async #advance(): Promise<void> {
    const { segment, tail } = this.#state;
    if (this.#recovering) await this.#accountFor(segment);
    const writer = await createUiWriter(this.#context, {
      stream: DEFAULT_STREAM,
      from: this.#recovering ? tail : null,
      repeats: (step) => recordedStep(this.#context, `${segmentPrefix(segment)}t${step}`),
    });
    const steering = await this.#open(writer);
    this.#steering = steering;
    const end = await runSegment(this.#context, {
      agent: this.#agent,
      number: segment,
      messages: await this.#prompt(),
      steering,
      requestedBy: this.#input.by,
      call: {
        callOptions: this.#input.callOptions,
        edits: this.#edits,
        outputs: this.#outputs,
        remembers: await this.#memory(),
        budget: await this.#budget(),
        senders: () => this.#senders(),
        onPrepared: (prepared) => {
          this.#prepared = prepared;
        },
        ask: createInDoubtAsk(this.#context, {
          turns: () => this.#state.turns,
          requestedBy: this.#input.by ?? null,
          senders: () => this.#senders(),
          prepared: () => this.#prepared,
        }),
      },
      writer,
      tail,
      messageId: this.#state.uiMessage.id,
    });
    const next = end.kind === 'ended' ? await this.#ended(end.result) : await this.#diverged();
    await this.#checkpoint(next, { steering, shown: await this.#shown(writer) });
    this.#steering = undefined;
    this.#recovering = false;
    this.#opening = [];
  }

  /** An earlier process may have died while a model answered. */
  async #accountFor(segment: number): Promise<void> {
    const { stored: chunks } = await readMessageStream(this.#context, this.#state.tail);
    const context = this.#context;
    const cheaper = cheaperModelOf(this.#state, { context, settings: this.#agent.durable });
    await recordAbandonedTurn(context, { agent: this.#agent, segment, chunks, cheaper });
  }

  /** A2. Waits for what the last segment left open, and takes the user messages that are known. */
  async #open(writer: UiWriter): Promise<Steering> {
    const { pending, queued, edits } = this.#state;
    const { userMessages } = this.#context;
    this.#edits = new Map(Object.entries(edits));
    this.#outputs = new Map();
    if (pending.length > 0) {
      const answers = await waitForAnswers(this.#context, pending, {
        write: (chunk) => writer.write(chunk),
        answered: (answer) => this.#answered.push(answer),
        onApprovalRequested: this.#agent.durable.onApprovalRequested,
      });
      this.#outputs = outputsOf(this.#answered);
      this.#state = withRemembered(this.#state, rememberedOf(this.#answered, answers.edits));
      this.#answered = [];
      this.#opening = [answers.message];
      this.#edits = answers.edits;
      return new Steering(userMessages, queued);
    }
    if (awaitsTools(this.#state.messages)) return new Steering(userMessages, queued);
    const steering = new Steering(userMessages, []);
    this.#steering = steering;
    this.#opening = queued.map(({ message }) => message);
    for (const message of queued) await writer.write(toChunk(message));
    return steering;
  }

  async #prompt(): Promise<ModelMessage[]> {
    const own = [...this.#input.messages, ...this.#state.messages, ...this.#opening];
    const { messages: history } = await this.#thread();
    // The SDK executes what is approved in the last message; a valid history would answer it.
    return awaitsTools(own) ? [...history, ...own] : validHistory([...history, ...own]);
  }

  #thread(): Promise<EarlierRuns> {
    return (this.#earlier ??= this.#context.threadRuns().then(readEarlierRuns));
  }

  /** A2. What was approved for the thread before the segment began. */
  async #memory(): Promise<(tool: string, input: unknown) => boolean> {
    const { remembered } = await this.#thread();
    const digests = new Set([...remembered, ...(this.#state.remembered ?? [])]);
    return (tool, input) => digests.has(callDigest(tool, input));
  }

  async #budget(): Promise<BudgetBinding> {
    const { answers } = await this.#thread();
    return {
      answers: () => [...answers, ...(this.#state.budgetAnswers ?? [])],
      turns: () => this.#state.turns,
      requestedBy: this.#input.by ?? null,
      senders: () => this.#senders(),
    };
  }

  async #ended(result: Parameters<typeof readOutcome>[0]): Promise<AgentState> {
    const state = this.#state;
    const path = segmentPath(state.segment);
    const senders = this.#senders();
    const outcome = await readOutcome(result, {
      hasOutput: this.#agent.hasOutput,
      prepared: this.#prepared,
      context: this.#context,
      path,
      turns: state.turns,
      requestedBy: this.#input.by ?? null,
      senders,
    });
    return {
      ...state,
      ...(senders.length === 0 ? {} : { senders }),
      segment: state.segment + 1,
      messages: [...state.messages, ...(await this.#opened()), ...outcome.messages],
      pending: outcome.pending,
      edits: {},
      done: true,
      turns: state.turns + outcome.turns,
      usage: addUsage(state.usage, outcome.usage),
      finishReason: outcome.finishReason,
      text: outcome.text,
      ...(outcome.output === undefined ? {} : { output: outcome.output }),
    };
  }

  #senders(): string[] {
    const { senders = [], queued } = this.#state;
    return [...new Set([...senders, ...queued.flatMap(({ by }) => by ?? []), ...(this.#steering?.senders ?? [])])];
  }

  /** What was recorded of the segment stands; the next one goes on from there, or with nothing to do if the last turn was an answer. */
  async #diverged(): Promise<AgentState> {
    const state = this.#state;
    const recorded = await this.#recorded();
    const writer = await createUiWriter(this.#context, { stream: DEFAULT_STREAM, from: state.tail });
    if (state.segment === 0) await writer.write({ type: 'start', messageId: state.uiMessage.id });
    for (const chunk of shownChunks(recorded.chunks, this.#agent.durable.ui)) await writer.write(chunk);
    const began = recorded.messages.length > 0;
    const messages = [...state.messages, ...(await this.#opened()), ...recorded.messages];
    return {
      ...state,
      segment: state.segment + 1,
      messages: began ? validHistory(messages) : messages,
      pending: [],
      edits: began ? {} : Object.fromEntries(this.#edits),
      done: recorded.final,
      ...this.#totals(recorded),
    };
  }

  /** The end of the message, written with the end of the run: a message that came at the last moment goes before it. */
  closing(): StreamWrite[] {
    const chunks = this.#settledEnd ?? [{ type: 'finish', finishReason: this.#state.finishReason }];
    // crash here: the run has not ended and its message neither; whoever goes on ends both
    return chunks.length === 0 ? [] : [{ stream: DEFAULT_STREAM, chunks: chunks.map(encodeChunk) }];
  }

  /** A4. What the run leaves behind when it was stopped or failed; `closing` has the end of its message. */
  async settle({ status, error }: { status: 'failed' | 'cancelled'; error: unknown }): Promise<SettledEnd> {
    const state = this.#state;
    // Stopped while answers were open: what had been approved did not run.
    const unstarted = this.#answered.length > 0;
    if (unstarted) {
      this.#opening = [unusedAnswers(this.#answered)];
      this.#outputs = outputsOf(this.#answered);
    }
    const recorded = await this.#recorded();
    const { tail: from, uiMessage: message } = state;
    const { partial, chunks, folded } = await messageEnd(this.#context, {
      from,
      message,
      turns: recorded.turns,
      status,
      error,
      unstarted,
    });
    this.#settledEnd = chunks;
    const said: ModelMessage[] = partial.trim() === '' ? [] : [{ role: 'assistant', content: partial }];
    this.#state = {
      ...state,
      messages: validHistory([...state.messages, ...(await this.#opened()), ...recorded.messages, ...said]),
      uiMessage: folded.message,
      tail: folded.tail,
      finishReason: status === 'cancelled' ? 'other' : 'error',
      ...this.#totals(recorded),
      ...(partial.trim() === '' ? {} : { text: partial }),
    };
    return { result: toResult(withBudgetAnswers(this.#state, this.#context)), leftover: this.#leftover() };
  }

  /** A3. User messages that are in no history become the thread's next runs. */
  #leftover(): SettledEnd['leftover'] {
    const untaken = this.#steering?.untaken() ?? this.#state.queued;
    return untaken.map(({ id, message, inputHash = null }) => ({
      id,
      input: { messages: [message] } satisfies StoredInput,
      inputHash,
    }));
  }

  /** What the segment started with, as its prompt has it. */
  #opened(): Promise<ModelMessage[]> {
    return withClientOutputs(this.#opening, { outputs: this.#outputs, tools: this.#prepared.tools });
  }

  #recorded(): ReturnType<typeof recordedSegment> {
    const prefix = segmentPrefix(this.#state.segment);
    const before = [...this.#state.messages, ...this.#opening];
    return recordedSegment(this.#context.journal(prefix), {
      prefix,
      tools: this.#prepared.tools,
      before,
      edits: this.#edits,
    });
  }

  #totals(recorded: {
    turns: number;
    usage: LanguageModelUsage;
    text: string;
  }): Pick<AgentState, 'turns' | 'usage' | 'text'> {
    const { turns, usage, text } = this.#state;
    return {
      turns: turns + recorded.turns,
      usage: addUsage(usage, recorded.usage),
      text: recorded.turns === 0 ? text : recorded.text,
    };
  }

  /** The message with what the segment has added to it; read back where others wrote to the stream too. */
  async #shown(writer: UiWriter): Promise<Pick<FoldedStream, 'tail' | 'message'>> {
    const { tail: from, uiMessage: message } = this.#state;
    const written = writer.written();
    if (written === null) return foldStream(this.#context, { from, message });
    return { tail: from + written.count, message: (await foldMessage(written.chunks, { message })) ?? message };
  }

  /** A1 */
  async #checkpoint(
    next: AgentState,
    { steering, shown }: { steering: Steering; shown: Pick<FoldedStream, 'tail' | 'message'> },
  ): Promise<void> {
    const context = this.#context;
    const { tail, message: uiMessage } = shown;
    const hooks = await hooksOf(next.pending, this.#prepared.tools);
    // crash here: turns are committed, chunks up to the last ones; the segment replays from its journal
    await context.moveCheckpoint(() => {
      const queued = steering.undelivered(); // A3
      const done = next.done && next.pending.length === 0 && queued.length === 0;
      const former = this.#state;
      this.#state = withBudgetAnswers({ ...next, tail, uiMessage, queued, done }, context);
      return { facts: [this.#segmentCompleted(changeOf(former, this.#state))], hooks };
    });
  }

  #segmentCompleted(value: StateChange): EventDraft {
    const { segment, turns, pending } = this.#state;
    const what = `what the agent's run "${this.#context.run.id}" has added`;
    const meta = { turns, open: pending.length };
    return draftEvent(
      { type: 'segment_completed', key: segmentPath(segment - 1), at: this.#context.now(), meta },
      { value, what },
    );
  }
}

function withRemembered(state: AgentState, digests: readonly string[]): AgentState {
  return digests.length === 0 ? state : { ...state, remembered: [...(state.remembered ?? []), ...digests] };
}

/** The SDK executes what is approved in the last message; those calls have no results yet. */
function awaitsTools(messages: readonly ModelMessage[]): boolean {
  const last = messages.at(-1);
  return last?.role === 'tool' && last.content.some((part) => part.type === 'tool-approval-response');
}

/** A user message that reaches the model at a segment's start, as the SDK shows steered ones. */
function toChunk({ id, message }: QueuedMessage): UIMessageChunk {
  return { type: 'steering-message', id, parts: toParts(message.content) };
}

function outputsOf(answered: readonly Answered[]): ClientOutputs {
  return new Map(
    answered.flatMap(({ parts: [part], output }) =>
      part.type === 'tool-result' && output !== undefined ? [[part.output, output]] : [],
    ),
  );
}
