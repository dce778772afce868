/** The arguments of one call, wrapped: what `prepareCall` answers inside a run. */

import type { LanguageModel, ModelMessage, StopCondition, StreamTextTransform, TelemetryOptions, ToolSet } from 'ai';
import { gateCallbacks, gateTelemetry } from './callbacks.ts';
import type { CallState } from './call-state.ts';
import { withCallSettings } from '../durable-settings.ts';
import type { DurableCallSettings } from '../durable-settings.ts';
import { withClientOutputs } from '../history/client-output.ts';
import { checkEdits } from '../tool/edited-input.ts';
import { durableModel } from '../turn/durable-model.ts';
import { durableTools } from '../tool/durable-tool.ts';
import { withMissingTools } from '../tool/missing-tools.ts';
import { memoizedApproval } from '../tool/approval-policy.ts';

/** Carries a call from the arguments of stream and generate to prepareCall; the SDK passes what it does not know. */
const CALL = Symbol('everturn.call');

type PrepareCall = (args: object) => unknown;
type AnyStop = StopCondition<ToolSet, Record<string, unknown>>;
type AnyFunction = (...args: unknown[]) => unknown;
type AnyTransform = StreamTextTransform<ToolSet>;

/** What the loop is called with, as far as it is wrapped. */
interface Prepared {
  model: LanguageModel;
  tools?: ToolSet;
  messages?: ModelMessage[];
  prompt?: string | ModelMessage[];
  activeTools?: string[];
  toolApproval?: unknown;
  prepareStep?: (options: { model: unknown; stepNumber: number }) => unknown;
  stopWhen?: AnyStop | AnyStop[];
  repairToolCall?: AnyFunction;
  experimental_repairToolCall?: AnyFunction;
  telemetry?: TelemetryOptions;
  experimental_telemetry?: TelemetryOptions;
  _internal?: { generateId?: () => string; generateCallId?: () => string };
}

export function withCall<OPTIONS extends object>(options: OPTIONS, call: CallState): OPTIONS {
  return { ...options, [CALL]: call };
}

/** Transforms are made where the SDK's streams are read: each is told of its call here, for those that ask what is replayed. */
export function wrapTransforms<OPTIONS extends object>(options: OPTIONS, call: CallState): OPTIONS {
  const { experimental_transform: given } = options as { experimental_transform?: AnyTransform | AnyTransform[] };
  if (given === undefined) return options;
  const transforms = (Array.isArray(given) ? given : [given]).map(
    (create): AnyTransform =>
      (of) =>
        call.inFrame(() => create(of)),
  );
  return { ...options, experimental_transform: transforms };
}

/** The agent's own prepareCall, and around it what makes a call inside a run durable. Outside of a run it adds nothing. */
export function durablePrepareCall(prepareCall: PrepareCall | undefined, calls: Map<string, CallState>): PrepareCall {
  return async (args) => {
    const { [CALL]: call, ...rest } = args as { [CALL]?: CallState };
    const ask = (): unknown => prepareCall?.(rest);
    const answer = (await (call === undefined ? ask() : call.within('prepare-call', ask))) ?? rest;
    const { durable: ofCall, ...prepared } = answer as Prepared & { durable?: DurableCallSettings };
    const { tools = {} } = prepared;
    const durable = withCallSettings(call?.prepared.durable ?? {}, { durable: ofCall, tools });
    if (call === undefined) return prepared;
    const { edits = new Map(), outputs = new Map() } = call.bindings;
    call.spending.begins(promptOf(prepared));
    call.prepare({ tools, durable }, await checkEdits(edits, { messages: promptOf(prepared), tools }));
    const { messages } = prepared;
    const answered = messages === undefined ? {} : { messages: await withClientOutputs(messages, { outputs, tools }) };
    return wrapPrepared(gateCallbacks({ ...prepared, ...answered }, calls), { call, calls });
  };
}

function wrapPrepared(
  prepared: Prepared,
  { call, calls }: { call: CallState; calls: Map<string, CallState> },
): Prepared {
  const { tools, missing } = withMissingTools(prepared.tools, promptOf(prepared));
  const telemetry = gateTelemetry(prepared.telemetry ?? prepared.experimental_telemetry, call);
  const model = call.bindings.model ?? prepared.model;
  const active =
    missing.length === 0 ? prepared.activeTools : (prepared.activeTools ?? Object.keys(prepared.tools ?? {}));
  const wrapped = durableTools(tools, call);
  return {
    ...prepared,
    model: durableModel(model, call),
    ...(wrapped === undefined ? {} : { tools: wrapped }),
    ...(active === undefined ? {} : { activeTools: active }),
    ...(prepared.toolApproval === undefined ? {} : { toolApproval: memoizedApproval(prepared.toolApproval, call) }),
    ...(prepared.prepareStep === undefined
      ? {}
      : { prepareStep: wrapPrepareStep(prepared.prepareStep, { call, model }) }),
    ...(prepared.stopWhen === undefined ? {} : { stopWhen: wrapStops(prepared.stopWhen, call) }),
    ...wrapRepair(prepared, call),
    ...(telemetry === undefined ? {} : { telemetry }),
    _internal: internals(prepared, { call, calls }),
  };
}

function promptOf({ messages, prompt }: Prepared): ModelMessage[] {
  return messages ?? (Array.isArray(prompt) ? prompt : []);
}

function wrapPrepareStep(
  prepareStep: NonNullable<Prepared['prepareStep']>,
  { call, model }: { call: CallState; model: LanguageModel },
): NonNullable<Prepared['prepareStep']> {
  return async (options) => {
    call.assertNotFatal();
    const step = (await call.within(`prepare-step:${options.stepNumber}`, () => prepareStep({ ...options, model }))) as
      | { model?: LanguageModel }
      | undefined;
    return step?.model === undefined ? step : { ...step, model: durableModel(step.model, call) };
  };
}

function wrapStops(stopWhen: AnyStop | AnyStop[], call: CallState): AnyStop[] {
  const conditions = Array.isArray(stopWhen) ? stopWhen : [stopWhen];
  return conditions.map(
    (condition, index): AnyStop =>
      (options) =>
        call.within(`stop-when:${options.steps.length}:${index}`, () => condition(options)),
  );
}

function wrapRepair(prepared: Prepared, call: CallState): Partial<Prepared> {
  const wrap = (repair: AnyFunction): AnyFunction => {
    return (options) => {
      const { toolCallId } = (options as { toolCall: { toolCallId: string } }).toolCall;
      return call.within(
        `repair:${call
          .baseToolKey(toolCallId)
          .slice(call.path.length + 1)
          .replaceAll('/', ':')}`,
        () => repair(options),
      );
    };
  };
  const { repairToolCall, experimental_repairToolCall: experimental } = prepared;
  return {
    ...(repairToolCall === undefined ? {} : { repairToolCall: wrap(repairToolCall) }),
    ...(experimental === undefined ? {} : { experimental_repairToolCall: wrap(experimental) }),
  };
}

function internals(
  prepared: Prepared,
  { call, calls }: { call: CallState; calls: Map<string, CallState> },
): NonNullable<Prepared['_internal']> {
  const { _internal: own } = prepared;
  return {
    generateId: () => call.nextId(),
    ...own,
    generateCallId: () => {
      const callId = own?.generateCallId?.() ?? call.callId;
      calls.set(callId, call);
      return callId;
    },
  };
}
