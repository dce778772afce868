/**
 * The SDK's callbacks and telemetry on replay: what belongs to a recorded turn or tool was reported when it happened and is not
 * reported again. At the boundary of a crash a report may be lost or come twice; callbacks are no place for effects that must happen.
 */

import type { Telemetry, TelemetryOptions } from 'ai';
import type { CallState } from './call-state.ts';

type AnyCallback = (event: never) => unknown;

/** Fields that events of the SDK may have. */
interface CallEvent {
  callId?: string;
  stepNumber?: number;
  toolCall?: { toolCallId: string };
}

/** The calls of one agent that are open, by the SDK's callId. */
export type OpenCalls = ReadonlyMap<string, CallState>;

const NAMES = [
  'onStart',
  'experimental_onStart',
  'onStepStart',
  'experimental_onStepStart',
  'onLanguageModelCallStart',
  'onLanguageModelCallEnd',
  'onToolExecutionStart',
  'experimental_onToolCallStart',
  'onToolExecutionEnd',
  'experimental_onToolCallFinish',
  'onStepEnd',
  'onStepFinish',
  'onEnd',
  'onFinish',
] as const;

/** The options with their callbacks silent for what is replayed. Calls that are not known here are passed. */
export function gateCallbacks<OPTIONS extends object>(options: OPTIONS, calls: OpenCalls): OPTIONS {
  const gated: Record<string, unknown> = {};
  for (const name of NAMES) {
    const callback = (options as Record<string, unknown>)[name];
    if (typeof callback !== 'function') continue;
    gated[name] = (event: CallEvent) => {
      const call = calls.get(event.callId ?? '');
      if (call !== undefined && isReplayed(call, name, event)) return undefined;
      return (callback as AnyCallback)(event as never);
    };
  }
  return Object.keys(gated).length === 0 ? options : { ...options, ...gated };
}

/** Telemetry of a call inside a run: the same rule, and the call's start is reported before its first live event. */
export function gateTelemetry(telemetry: TelemetryOptions | undefined, call: CallState): TelemetryOptions | undefined {
  if (telemetry?.isEnabled === false) return telemetry;
  const own = telemetry?.integrations;
  const integrations =
    own === undefined ? (globalThis.AI_SDK_TELEMETRY_INTEGRATIONS ?? []) : Array.isArray(own) ? own : [own];
  if (integrations.length === 0) return telemetry;
  return {
    ...telemetry,
    integrations: integrations.map((integration) => gateIntegration(integration, call)),
  };
}

function gateIntegration(integration: Telemetry, call: CallState): Telemetry {
  let start: (() => unknown) | undefined;
  return new Proxy(integration, {
    get(target, name, receiver) {
      const value: unknown = Reflect.get(target, name, receiver);
      if (typeof value !== 'function' || typeof name !== 'string') return value;
      const report = value.bind(target) as (event: CallEvent & { execute?: () => unknown }) => unknown;
      return async (event: CallEvent & { execute?: () => unknown }) => {
        if (name === 'onStart' && call.began) {
          start = () => report(event);
          return undefined;
        }
        if (isReplayed(call, name, event)) return event.execute?.();
        const pending = start;
        start = undefined;
        await pending?.();
        return report(event);
      };
    },
  });
}

/** What an event is about, by the name of its callback; other callbacks (errors, aborts, the call's end) are always told. */
const SUBJECTS: Record<string, 'call' | 'turn' | 'answer' | 'tool' | 'step'> = {
  onStart: 'call',
  experimental_onStart: 'call',
  onStepStart: 'turn',
  experimental_onStepStart: 'turn',
  onLanguageModelCallStart: 'turn',
  onLanguageModelCallEnd: 'answer',
  executeLanguageModelCall: 'answer',
  onToolExecutionStart: 'tool',
  experimental_onToolCallStart: 'tool',
  onToolExecutionEnd: 'tool',
  experimental_onToolCallFinish: 'tool',
  executeTool: 'tool',
  onStepEnd: 'step',
  onStepFinish: 'step',
};

/** Whether an event tells of something that the journal had before this process came to it. */
function isReplayed(call: CallState, name: string, event: CallEvent): boolean {
  if (call.end !== undefined) return true;
  switch (SUBJECTS[name]) {
    case 'call':
      return call.began;
    case 'turn':
      return call.isReplayedTurn(event.stepNumber ?? call.committed);
    case 'answer':
      return call.isReplayedTurn(call.turn?.n ?? 0);
    case 'tool':
      return event.toolCall !== undefined && call.isReplayedTool(event.toolCall.toolCallId);
    case 'step':
      return call.isReplayedStep(event.stepNumber ?? -1);
    default:
      return false;
  }
}
