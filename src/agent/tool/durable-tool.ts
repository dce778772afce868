/**
 * The tools that an agent call hands to the SDK: each call is an operation of kind `tool`, recorded before its result reaches the loop.
 *
 *  D1 `execute` decides synchronously whether it answers a promise or, for preliminary results, an async iterable. A recorded
 *     result is a promise: preliminary results are not played again.
 *  D2 Errors are recorded and thrown again. A FatalError ends the loop: no model is called after it (call-state K4).
 *  D3 Every attempt has the idempotency key `<run id>/<tool key>`.
 *  D4 A tool that was interrupted is handled as its `onInDoubt` says.
 *  D5 Of an agent that user code calls, a call that a person has to approve begins when one has.
 *  D6 A call begins when there is room for it in the budget. After a stop it fails without having begun. Those that tools make are part of theirs.
 */

import { experimental_toolCaller } from 'ai';
import type { Tool, ToolExecutionOptions, ToolSet } from 'ai';
import type { Attempt, MessagePlace, Operation } from '../../runtime/context.ts';
import { currentFrame } from '../../runtime/context.ts';
import { encodeChunk } from '../../runtime/chunk.ts';
import type { JournalEvent } from '../../runtime/event.ts';
import { durationMs } from '../../runtime/duration.ts';
import { DurableError, FatalError } from '../../runtime/errors.ts';
import type { CallState } from '../call/call-state.ts';
import { budgetError } from '../budget-answer.ts';
import type { BudgetStop } from '../budget-answer.ts';
import type { DurableToolSettings } from '../durable-settings.ts';
import { CHILD_PART, DEFAULT_STREAM } from '../../streams/wire.ts';
import { editedModelOutput } from './edited-input.ts';
import type { EditedInput } from './edited-input.ts';
import { answerInPlace, askedHere, inputInPlace } from './inner-approval.ts';
import { createInDoubtAsk } from './in-doubt-ask.ts';
import { findDoubt, knownOfDoubts, recordStartAgain, replayDoubts, settleDoubt } from './in-doubt.ts';
import type { InDoubtAsk, InDoubtTool } from './in-doubt.ts';
import { anySignal } from '../turn/live-turn.ts';
import { memoizedNeedsApproval } from './approval-policy.ts';
import { ValueFeed } from './value-feed.ts';

type ToolCaller = Parameters<typeof experimental_toolCaller>[1];
type Execute = (input: unknown, options: ToolExecutionOptions<unknown>) => unknown;

export function durableTools(tools: ToolSet | undefined, call: CallState): ToolSet | undefined {
  if (tools === undefined) return undefined;
  return Object.fromEntries(
    Object.entries(tools).map(([name, tool]) => [name, durableTool(tool as Tool, { name, call })]),
  );
}

interface Place {
  name: string;
  call: CallState;
}

function durableTool(tool: Tool, { name, call }: Place): Tool {
  const wrapped: Record<string, unknown> = { ...tool, ...gatedInputCallbacks(tool, call) };
  if (typeof tool.execute === 'function') {
    const execute = (tool.execute as Execute).bind(tool);
    const streams = tool.execute.constructor.name === 'AsyncGeneratorFunction';
    wrapped['execute'] = (input: unknown, options: ToolExecutionOptions<unknown>) =>
      runTool({ name, call, execute, streams, input, options });
    if (call.bindings.edits !== undefined)
      wrapped['toModelOutput'] = editedModelOutput(tool, (toolCallId) => call.editOf(toolCallId));
    else if (call.keepsFailures)
      wrapped['toModelOutput'] = editedModelOutput(tool, (id) => inputInPlace(call, call.baseToolKey(id)));
  }
  const needsApproval = memoizedNeedsApproval(tool.needsApproval, { name, call });
  if (needsApproval !== undefined) wrapped['needsApproval'] = needsApproval;
  return asCaller(wrapped as Tool, { of: tool, name, call });
}

/** A tool that calls other tools: what it is bound to is durable too. Its definition is not copied with its fields. */
function asCaller(wrapped: Tool, { of, name, call }: Place & { of: Tool }): Tool {
  const { experimental_toolCaller: caller } = of as { experimental_toolCaller?: ToolCaller };
  if (caller === undefined) return wrapped;
  if (caller.type !== 'local') return experimental_toolCaller(wrapped, caller);
  const bind = (tools: ToolSet): Tool => durableTool(caller.bind(tools), { name, call });
  return experimental_toolCaller(wrapped, { ...caller, bind });
}

interface ToolRun extends Place {
  execute: Execute;
  /** `execute` is an async generator function. */
  streams: boolean;
  input: unknown;
  options: ToolExecutionOptions<unknown>;
  /** What a person has made of its input, or why it must not run. */
  edit?: EditedInput | undefined;
}

function runTool(run: ToolRun): unknown {
  const { call, options } = run;
  const nested = nestedKey(run);
  const key = nested ?? call.toolKey(options.toolCallId, 'execute');
  const perform = <T>(operation: Operation<T>): Promise<T> =>
    nested === undefined ? call.perform(operation) : call.context.perform(operation);
  if (call.context.recorded(key) !== undefined)
    return noteFatal(
      withinBudget(run, { key, nested, begin: () => perform({ ...operationOf(run, key), body: neverRuns }) }),
      { call, key },
    );
  call.liveTools.add(key);
  const feed = new ValueFeed();
  const start = (begun: ToolRun): Promise<unknown> => {
    const found = doubtOf(begun, key);
    const doubt = found === undefined ? undefined : { tool: found, isSettled: false };
    const body = (attempt: Attempt): unknown => callTool(begun, { key, attempt, feed, doubt });
    // crash here: the effect may have happened and its result is not recorded; the key and `onInDoubt` answer for that (D3, D4)
    const begin = (): Promise<unknown> => perform({ ...operationOf(begun, key, found), body });
    return noteFatal(withinBudget(begun, { key, nested, begin }), { call, key });
  };
  const done = nested === undefined ? afterApproval(run, { key, start }) : start(run);
  if (!run.streams && !feed.open) return done;
  return feed.values(done);
}

/** D6 */
function withinBudget(
  { call, name, options: { toolCallId } }: ToolRun,
  { key, nested, begin }: { key: string; nested: string | undefined; begin: () => Promise<unknown> },
): Promise<unknown> {
  const passed = nested === undefined ? call.spending.beforeTool(key) : undefined;
  if (passed === undefined) return begin();
  const refuse = (stop: BudgetStop): never => {
    throw budgetError(stop, 'This tool call was not executed');
  };
  return passed.then((stop) =>
    stop === undefined
      ? begin()
      : call.perform({
          key,
          kind: 'tool',
          label: name,
          toolCallId,
          meta: () => ({ tool: name }),
          body: () => refuse(stop),
        }),
  );
}

/** D5 */
function afterApproval(
  run: ToolRun,
  { key, start }: { key: string; start: (run: ToolRun) => Promise<unknown> },
): Promise<unknown> {
  const { call, name, input, options } = run;
  const inner = { call, key, tool: name, toolCallId: options.toolCallId, input };
  const asked = askedHere(inner);
  return asked === undefined ? start(run) : answerInPlace(inner, asked).then((edit) => start({ ...run, edit }));
}

interface Doubt {
  tool: InDoubtTool;
  isSettled: boolean;
}

interface ToolAttempt {
  key: string;
  attempt: Attempt;
  feed: ValueFeed;
  doubt: Doubt | undefined;
}

function callTool(run: ToolRun, at: ToolAttempt): unknown {
  const { call, execute, options } = run;
  const edit = editOf(run);
  if (edit !== undefined && 'error' in edit) throw edit.error;
  const actual = actualInput(run);
  const start = (): unknown => {
    const abortSignal = anySignal([at.attempt.signal, options.abortSignal]);
    const result = execute(actual, { ...options, abortSignal });
    return isAsyncIterable(result) ? at.feed.drain(result) : result;
  };
  const known = knownOfDoubts(call.context, at.key);
  if (at.doubt === undefined && known.length === 0) return start();
  return callAgain(run, { ...at, known, start });
}

/** D4. Its attempts after the doubt was settled are plain ones. */
async function callAgain(
  { name, call }: ToolRun,
  {
    attempt,
    doubt,
    known,
    start,
  }: Pick<ToolAttempt, 'attempt' | 'doubt'> & { known: JournalEvent[]; start: () => unknown },
): Promise<unknown> {
  const { context } = call;
  await replayDoubts(context, known);
  if (doubt === undefined) return start();
  if (!doubt.isSettled) {
    const settled = await settleDoubt({
      tool: doubt.tool,
      settings: settingsOf(call, name),
      ask: call.bindings.ask ?? askIn(call),
      context,
    });
    if (settled.kind === 'happened') return settled.result;
    doubt.isSettled = true;
  }
  await recordStartAgain(context, { key: doubt.tool.key, attempt: attempt.attempt });
  attempt.startTimeout();
  return start();
}

/** Of agents that a workflow or a tool calls. */
function askIn(call: CallState): InDoubtAsk {
  return createInDoubtAsk(call.context, {
    turns: () => call.committed,
    requestedBy: null,
    senders: () => [],
    prepared: () => call.prepared,
  });
}

function operationOf(run: ToolRun, key: string, doubt?: InDoubtTool): Omit<Operation<unknown>, 'body'> {
  const { retries, timeout } = settingsOf(run.call, run.name);
  const edit = editOf(run);
  const fails = edit !== undefined && 'error' in edit;
  return {
    key,
    kind: 'tool',
    label: run.name,
    toolCallId: run.options.toolCallId,
    meta: () => ({ tool: run.name }),
    onChild: (child) => linkChild(run, child),
    place: placeOf(run),
    ...(retries === undefined || fails ? {} : { retries }),
    ...(timeout === undefined ? {} : { timeoutMs: durationMs(timeout, `durable.tools.${run.name}.timeout`) }),
    ...(doubt === undefined ? { recordStart: mayBeInDoubt(run) } : { startsTimeout: true }),
  };
}

/** Where the stream of an agent's own run is read, the streams of the runs that its tools start are found. */
function linkChild({ call, options }: ToolRun, { id, workflow }: { id: string; workflow: string }): void {
  if (call.keepsFailures) return;
  const data = { runId: id, workflow, toolCallId: options.toolCallId };
  void call.context.emit(DEFAULT_STREAM, [encodeChunk({ type: CHILD_PART, id, data })]);
}

/** Inside of another tool the message shows that one. */
function placeOf({ name, call, options: { toolCallId } }: ToolRun): MessagePlace {
  const outer = call.inFrame(() => call.context.scope().place);
  if (outer !== undefined || call.keepsFailures) return outer ?? { tool: name, toolCallId };
  const { senders } = call.bindings;
  return {
    tool: name,
    toolCallId,
    ...(senders === undefined ? {} : { senders }),
    show: (part) => void call.context.emit(DEFAULT_STREAM, [encodeChunk(part)]),
  };
}

function settingsOf(call: CallState, name: string): DurableToolSettings {
  const { tools } = call.prepared.durable;
  return (tools !== undefined && Object.hasOwn(tools, name) ? tools[name] : undefined) ?? {};
}

function mayBeInDoubt({ call, name }: ToolRun): boolean {
  const { onInDoubt = 'retry', probe } = settingsOf(call, name);
  return onInDoubt !== 'retry' || probe !== undefined;
}

function doubtOf(run: ToolRun, key: string): InDoubtTool | undefined {
  if (!mayBeInDoubt(run)) return undefined;
  const { name: toolName, call, options } = run;
  const { toolCallId } = options;
  const input = actualInput(run);
  return findDoubt(call.context, { key, toolName, toolCallId, input, prompt: () => describe(run, input) });
}

/** What a person has made of the model's input. */
function actualInput(run: ToolRun): unknown {
  const edit = editOf(run);
  return edit === undefined || 'error' in edit ? run.input : edit.input;
}

function editOf({ call, options, edit }: ToolRun): EditedInput | undefined {
  return edit ?? call.editOf(options.toolCallId);
}

/** A question without its words is better than none. */
function describe({ call, name }: ToolRun, input: unknown): string | null {
  const { describe: say } = settingsOf(call, name);
  try {
    return say?.(input) ?? null;
  } catch (error) {
    call.context.logger.warn({ code: 'invalid_argument', tool: name, err: error }, 'durable.tools.describe failed');
    return null;
  }
}

/** A tool that another tool calls (the SDK's local tool callers make up toolCallIds): its key stands under the caller's. */
function nestedKey({ name, call, options }: ToolRun): string | undefined {
  if (call.knowsToolCall(options.toolCallId)) return undefined;
  const scope = currentFrame.getStore()?.scope;
  if (scope?.kind !== 'tool' || !scope.path.startsWith(`${call.path}/`)) return undefined;
  return call.context.nextKey(`tool:${name}`);
}

/** D2 */
function noteFatal(done: Promise<unknown>, { call, key }: { call: CallState; key: string }): Promise<unknown> {
  return done.catch((error: unknown) => {
    if (FatalError.is(error))
      call.fail({ kind: 'tool', key, attempt: call.context.recorded(key)?.attempt ?? 1, error });
    throw error;
  });
}

function neverRuns(): never {
  throw new DurableError('divergence', 'A recorded tool was started again.');
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** What a tool hears while its input comes in; recorded turns do not tell it again. */
function gatedInputCallbacks(tool: Tool, call: CallState): Record<string, unknown> {
  const gated: Record<string, unknown> = {};
  for (const name of ['onInputStart', 'onInputDelta', 'onInputAvailable'] as const) {
    const callback = tool[name] as ((options: unknown) => unknown) | undefined;
    if (callback === undefined) continue;
    gated[name] = (options: unknown) => (call.turn?.replayed === true ? undefined : callback.call(tool, options));
  }
  return gated;
}
