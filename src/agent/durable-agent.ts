/**
 * The SDK's ToolLoopAgent whose loop survives its process. Nothing of the loop is written anew: the agent wraps what the loop calls
 * (model, tools, policies, ids, telemetry) at two points, the result of `prepareCall` and the arguments of `stream` and `generate`.
 */

import { experimental_createSteering, ToolLoopAgent } from 'ai';
import type {
  AgentCallParameters,
  AgentStreamParameters,
  FlexibleSchema,
  GenerateTextResult,
  InferGenerateOutput,
  LanguageModel,
  OutputInterface,
  StreamTextResult,
  ToolLoopAgentSettings,
  ToolSet,
} from 'ai';
import { currentFrame } from '../runtime/context.ts';
import type { RunContext } from '../runtime/context.ts';
import type { Registrable, WorkflowDefinition } from '../runtime/registrable.ts';
import type { AgentInput } from './agent-input.ts';
import type { AgentCall, AgentCallEnd, AgentCallFailure, AgentCallOptions, CallableAgent } from './call/agent-call.ts';
import { agentWorkflow } from './run/agent-workflow.ts';
import { durablePrepareCall, withCall, wrapTransforms } from './call/call-settings.ts';
import { gateCallbacks } from './call/callbacks.ts';
import { CallState } from './call/call-state.ts';
import type { CallBindings } from './call/call-state.ts';
import type { AgentResult } from './run/agent-state.ts';
import { checkSettings } from './durable-settings.ts';
import type { DurableCallSettings, DurableSettings } from './durable-settings.ts';
import { keyPart } from '../runtime/key-part.ts';
import { anySignal } from './turn/live-turn.ts';

type Context = Record<string, unknown>;

/**
 * All settings of ToolLoopAgent, and `durable`, keyed by the names of the agent's tools. Those of tools that `prepareCall` adds stand in
 * its answer.
 */
export type DurableAgentSettings<
  CALL_OPTIONS = never,
  TOOLS extends ToolSet = {},
  RUNTIME_CONTEXT extends Context = Context,
  OUTPUT extends OutputInterface = never,
> = ToolLoopAgentSettings<CALL_OPTIONS, TOOLS, RUNTIME_CONTEXT, OUTPUT> & {
  durable?: DurableSettings<keyof NoInfer<TOOLS> & string, NoInfer<InputsOf<TOOLS>>>;
  prepareCall?: DurablePrepareCall<
    NonNullable<ToolLoopAgentSettings<CALL_OPTIONS, TOOLS, RUNTIME_CONTEXT, OUTPUT>['prepareCall']>
  >;
};

type InputsOf<TOOLS extends ToolSet> = {
  [NAME in keyof TOOLS & string]: TOOLS[NAME] extends { inputSchema: FlexibleSchema<infer INPUT> } ? INPUT : unknown;
};

/** The SDK's `prepareCall`, which may answer `durable` too: names that are no tools of the call are refused with `tool_not_found`. */
type DurablePrepareCall<PREPARE extends (options: never) => unknown> = (
  ...options: Parameters<PREPARE>
) => MaybePromiseLike<Awaited<ReturnType<PREPARE>> & { durable?: DurableCallSettings }>;
type MaybePromiseLike<T> = T | PromiseLike<T>;

type CallExtensions = { experimental_steering?: ReturnType<typeof experimental_createSteering> };

/**
 * An agent whose model turns and tool calls are recorded steps. Written as a ToolLoopAgent is; outside of a run it is one.
 *
 * Inside a workflow or a tool, `stream` and `generate` record each turn before its tools start and each tool before the loop goes on: after a
 * crash they answer from the journal and call only what was not recorded. Registered in `createRuntime({ agents })` it is a run of its
 * own, with threads, approvals, steering and retries of turns that fail. What callers see of errors in `stream` and `generate` is the
 * SDK's own.
 *
 * @throws DurableError `tool_not_found` for a name in `durable` that is no tool of the agent.
 */
export class DurableAgent<
  CALL_OPTIONS = never,
  TOOLS extends ToolSet = {},
  RUNTIME_CONTEXT extends Context = Context,
  OUTPUT extends OutputInterface = never,
>
  extends ToolLoopAgent<CALL_OPTIONS, TOOLS, RUNTIME_CONTEXT, OUTPUT>
  implements Registrable<AgentInput<CALL_OPTIONS>, AgentResult<InferGenerateOutput<OUTPUT>>>, CallableAgent
{
  declare readonly types?: (input: AgentInput<CALL_OPTIONS>) => AgentResult<InferGenerateOutput<OUTPUT>>;
  /** The `durable` setting. */
  readonly durable: DurableSettings;
  /** The agent has an `output` specification. */
  readonly hasOutput: boolean;
  /** The `model` setting. */
  readonly model: LanguageModel;
  readonly #calls: Map<string, CallState>;

  constructor(settings: DurableAgentSettings<CALL_OPTIONS, TOOLS, RUNTIME_CONTEXT, OUTPUT>) {
    const { durable = {}, ...sdk } = settings;
    checkSettings(durable, { tools: settings.tools ?? {}, of: 'agent' });
    const calls = new Map<string, CallState>();
    const prepareCall = durablePrepareCall(settings.prepareCall as never, calls);
    super({ onError: reportError, ...gateCallbacks(sdk, calls), prepareCall } as unknown as ToolLoopAgentSettings<
      CALL_OPTIONS,
      TOOLS,
      RUNTIME_CONTEXT,
      OUTPUT
    >);
    this.durable = durable;
    this.hasOutput = settings.output !== undefined;
    this.model = settings.model;
    this.#calls = calls;
  }

  override get tools(): TOOLS {
    return super.tools ?? ({} as TOOLS);
  }

  /** What the runtime registers: the agent as a run of its own. */
  toWorkflow(name: string): WorkflowDefinition {
    return agentWorkflow(this, name);
  }

  override async stream(
    options: AgentStreamParameters<CALL_OPTIONS, TOOLS, RUNTIME_CONTEXT> & CallExtensions,
  ): Promise<StreamTextResult<TOOLS, RUNTIME_CONTEXT, OUTPUT>> {
    const context = durableContext();
    if (context === undefined) return super.stream(options as never);
    return this.#record(context, async (call, opened) => {
      const result = await super.stream(this.#arguments(options, call));
      opened(result);
      await result.consumeStream({ onError: () => {} });
    });
  }

  override async generate(
    options: AgentCallParameters<CALL_OPTIONS, TOOLS, RUNTIME_CONTEXT> & CallExtensions,
  ): Promise<GenerateTextResult<TOOLS, RUNTIME_CONTEXT, OUTPUT>> {
    const context = durableContext();
    if (context === undefined) return super.generate(options as never);
    let result: GenerateTextResult<TOOLS, RUNTIME_CONTEXT, OUTPUT> | undefined;
    await this.#record<void>(context, async (call) => {
      result = await super.generate(this.#arguments(options, call));
    });
    return result as GenerateTextResult<TOOLS, RUNTIME_CONTEXT, OUTPUT>;
  }

  /** Starts the loop for the agent's own run; see `startAgentCall`. */
  async startCall(context: RunContext, options: AgentCallOptions): Promise<AgentCall> {
    const { path, messages, callOptions, signal, ...bindings } = options;
    const call = this.#open(context, { path, signal, bindings });
    const steering = bindings.intake === undefined ? {} : { experimental_steering: experimental_createSteering() };
    call.steering = steering.experimental_steering;
    let end: AgentCallEnd | undefined;
    const given = {
      messages,
      onEnd: (event: AgentCallEnd) => {
        end = event;
      },
      options: callOptions,
      abortSignal: signal,
      ...(this.durable.transform === undefined ? {} : { experimental_transform: this.durable.transform }),
      ...steering,
    } as unknown as AgentStreamParameters<CALL_OPTIONS, TOOLS, RUNTIME_CONTEXT>;
    const result = await call.inFrame(() => super.stream(this.#arguments(given, call) as never));
    const failure = (): AgentCallFailure | undefined => {
      this.#close(call);
      return call.failure;
    };
    return { result: result as unknown as AgentCall['result'], end: () => end, failure };
  }

  /**
   * A call by user code: an operation whose end is a completion. `opened` answers the caller before the end. With its end recorded, the loop is
   * played again from what the journal has below it.
   */
  #record<RESULT>(
    context: RunContext,
    drive: (call: CallState, opened: (result: RESULT) => void) => Promise<void>,
  ): Promise<RESULT> {
    const path = context.nextKey(`agent:${keyPart(this.id ?? 'agent')}`);
    return new Promise<RESULT>((resolve, reject) => {
      const body = async (): Promise<void> => {
        const call = this.#open(context, { path, signal: context.signal, bindings: {} });
        try {
          await drive(call, resolve);
        } finally {
          this.#close(call);
        }
      };
      const replayed = context.recorded(path) === undefined ? undefined : context.within({ path, kind: 'agent' }, body);
      const ended = context.perform<void>({ key: path, kind: 'agent', label: this.id ?? 'agent', body });
      Promise.all([ended, replayed]).then(() => resolve(undefined as RESULT), reject);
    });
  }

  #open(context: RunContext, options: { path: string; signal: AbortSignal; bindings: CallBindings }): CallState {
    return new CallState({ context, settings: this.durable, ...options });
  }

  #close(call: CallState): void {
    for (const [callId, open] of this.#calls) if (open === call) this.#calls.delete(callId);
  }

  #arguments<OPTIONS extends { abortSignal?: AbortSignal }>(options: OPTIONS, call: CallState): OPTIONS {
    return {
      ...withCall(wrapTransforms(gateCallbacks(options, this.#calls), call), call),
      abortSignal: anySignal([call.context.signal, options.abortSignal]),
    };
  }
}

/** Where the user gave no `onError`: what the SDK does, and inside a run a line of its log, since the caller sees the error there. */
function reportError({ error }: { error: unknown }): void {
  const frame = currentFrame.getStore();
  if (frame !== undefined)
    frame.context.logger.debug({ agent: frame.scope.path, err: error }, 'an agent call met an error');
  // oxlint-disable-next-line no-console -- outside of a run the agent is the SDK's, whose default this is
  else console.error(error);
}

/** The run that this code executes in. A step's body runs as one unit: there an agent is a plain one. */
function durableContext(): RunContext | undefined {
  const frame = currentFrame.getStore();
  return frame === undefined || frame.scope.kind === 'step' ? undefined : frame.context;
}
