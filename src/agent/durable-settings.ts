/** The `durable` setting of an agent: what the SDK's own settings have no place for. */

import type { LanguageModel, StreamTextTransform, TextStreamPart, ToolSet } from 'ai';
import { DurableError } from '../runtime/errors.ts';
import { durationMs } from '../runtime/duration.ts';
import { toMakeLimits } from '../runtime/limits.ts';
import type { LimitOptions } from '../runtime/limits.ts';
import type { Duration } from '../runtime/duration.ts';
import type { StoredInput } from './agent-input.ts';
import { checkApprovalSettings } from './approval-settings.ts';
import type { DurableApprovalSettings, OnApprovalRequested } from './approval-settings.ts';
import { checkBudget } from './budget-settings.ts';
import type { Budget } from './budget-settings.ts';
import { checkPrices } from './turn/prices.ts';
import type { Prices } from './turn/prices.ts';

/**
 * What a tool finds out about a call of its own that its process did not survive. `happened`: the effect is there, and the model is told `result`.
 * `unknown`: `onInDoubt` decides.
 */
export type ProbeAnswer = { happened: true; result: unknown } | { happened: false } | 'unknown';

export interface DurableToolSettings<INPUT = unknown> {
  /** Attempts after the first, if `execute` throws. Default 0: the model sees the error. A FatalError is never tried again. */
  retries?: number;
  /** Of one attempt: milliseconds, or text such as "30s". */
  timeout?: Duration;
  /**
   * What to do when the process died while the tool ran. `retry` (default): run it again under the same idempotency key. `fail`: the
   * model sees the error `tool_in_doubt`. `ask`: a person decides.
   */
  onInDoubt?: 'retry' | 'fail' | 'ask';
  /**
   * Looks whether a call that its process did not survive had its effect, by the idempotency key that the call had, before `onInDoubt` is
   * asked: a call that did not happen runs again. Recorded, as a step without retries; within `timeout`. What it throws means `unknown`.
   */
  probe?(input: INPUT, options: ProbeOptions): ProbeAnswer | Promise<ProbeAnswer>;
  /** What may have happened, in words, for the person whom `onInDoubt: 'ask'` asks: "refund of 40 EUR for order 7: did it happen?". */
  describe?(input: INPUT): string;
}

export interface ProbeOptions {
  /** Of the call: what `getToolMetadata().idempotencyKey` told its attempts. */
  idempotencyKey: string;
  /** When its last attempt began. */
  startedAt: Date;
  signal: AbortSignal;
}

/** What the SDK's `toUIMessageStream` takes, as far as it is not the run's own to say. */
export interface DurableUiSettings {
  /** Send the model's reasoning. Default true. It goes to the model again in either case. */
  sendReasoning?: boolean;
  /** Send sources. Default false. */
  sendSources?: boolean;
  /**
   * The message's metadata, of each part of the model's stream for which it answers some; called for `start` and `finish` too, the latter once
   * a segment. It runs again for recorded turns: what is stored stays, so answer the same for the same part (`now()`, not `Date.now()`).
   */
  messageMetadata?: (options: { part: TextStreamPart<ToolSet> }) => unknown;
}

/** Keyed by tool; `INPUTS` are what the tools take. */
export interface DurableSettings<
  NAME extends string = string,
  INPUTS extends Record<NAME, unknown> = Record<NAME, unknown>,
> {
  tools?: { [name in NAME]?: DurableToolSettings<INPUTS[name]> };
  approvals?: { [name in NAME]?: DurableApprovalSettings<INPUTS[name]> };
  /**
   * Told of each approval of the agent's own runs, of its reminders and of its escalation: write to Slack, send mail. A step of the run: it is
   * tried again when it throws, under the same idempotency key, and stops when somebody answers. The approval waits whether it succeeds or not.
   */
  onApprovalRequested?: OnApprovalRequested;
  /** Taken in order when the retries of a turn are spent. */
  fallbackModels?: LanguageModel[];
  /** How often a turn that failed is tried again, with backoff, before the next fallback model is taken. Default 4. */
  turnRetries?: number;
  /**
   * Transforms of what the agent's own runs stream, in order: what `experimental_transform` is in a call of `stream`. They run again for
   * recorded turns, so a slow one is slow there too; everturn's `smoothStream` is not.
   */
  transform?: StreamTextTransform<ToolSet> | Array<StreamTextTransform<ToolSet>>;
  /** How much a run, its thread and its tenant may use before a person is asked how to go on. */
  budget?: Budget;
  /** What models cost: what \`budget.usd\` and the ledger are counted by. They go before those of the runtime. */
  prices?: Prices;
  /** What the agent's own runs send of their answers. */
  ui?: DurableUiSettings;
  /** How many of its own runs execute at once, and begin in a time. */
  limits?: LimitOptions<StoredInput>;
}

/** What `prepareCall` may answer beside the SDK's settings: options of tools, those that it adds among them. They go before the agent's. */
export type DurableCallSettings<NAME extends string = string> = Pick<DurableSettings<NAME>, 'tools' | 'approvals'>;

/** The agent's settings with those of one call. Throws as `checkSettings` does. */
export function withCallSettings(
  settings: DurableSettings,
  { durable, tools }: { durable: DurableCallSettings | undefined; tools: object },
): DurableSettings {
  if (durable === undefined) return settings;
  checkSettings(durable, { tools, of: 'call' });
  return {
    ...settings,
    tools: { ...settings.tools, ...durable.tools },
    approvals: { ...settings.approvals, ...durable.approvals },
  };
}

/** Throws `tool_not_found` for names that are no tool of the agent, or of the call, `invalid_duration` and `invalid_argument`. */
export function checkSettings(settings: DurableSettings, { tools, of }: { tools: object; of: 'agent' | 'call' }): void {
  const known = Object.keys(tools);
  for (const group of ['tools', 'approvals'] as const) {
    for (const name of Object.keys(settings[group] ?? {})) {
      if (!known.includes(name)) throw unknownTool(name, { group, known, of });
    }
  }
  if (settings.prices !== undefined) checkPrices(settings.prices, 'durable.prices');
  if (settings.budget !== undefined) checkBudget(settings.budget, 'durable.budget');
  for (const [name, tool] of Object.entries(settings.tools ?? {})) if (tool !== undefined) checkTool(name, tool);
  if (settings.limits !== undefined) toMakeLimits(settings.limits, 'durable.limits');
  for (const [name, approval] of Object.entries(settings.approvals ?? {}))
    if (approval !== undefined) checkApprovalSettings(approval, { where: `durable.approvals.${name}`, of });
}

function checkTool(name: string, tool: DurableToolSettings): void {
  if (tool.timeout !== undefined) durationMs(tool.timeout, `durable.tools.${name}.timeout`);
  for (const option of ['probe', 'describe'] as const)
    if (tool[option] !== undefined && typeof tool[option] !== 'function') throw noFunction(`${name}.${option}`);
}

function noFunction(option: string): DurableError {
  return new DurableError(
    'invalid_argument',
    `Cannot configure durable.tools.${option}: it is no function. Write ${option.split('.').at(-1)}: (input) => ..., or leave it out.`,
  );
}

function unknownTool(name: string, where: { group: string; known: string[]; of: 'agent' | 'call' }): DurableError {
  const list = where.known.length === 0 ? 'none' : where.known.map((tool) => `"${tool}"`).join(', ');
  return new DurableError(
    'tool_not_found',
    `Cannot configure durable.${where.group}.${name}: the ${where.of} has no tool "${name}". Its tools: ${list}.`,
    { details: { name, known: where.known } },
  );
}
