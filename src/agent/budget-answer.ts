/** What people say to a run whose budget is used up, and what all their answers come to. Pure. */

import { DurableError } from '../runtime/errors.ts';
import type { Decision } from './tool/approval.ts';

export type BudgetScope = 'run' | 'thread' | 'tenant';
export type LimitName = 'tokens' | 'usd' | 'toolCalls' | 'turns' | 'wallClock';

/** Dollars, milliseconds, or how many. */
export type Amounts = Partial<Record<LimitName, number>>;

/** A limit that is used up. Dollars, milliseconds, or how many. */
export interface CrossedLimit {
  of: BudgetScope;
  limit: LimitName;
  used: number;
  /** With all raises so far. */
  allowed: number;
}

/** What an approval of a budget takes as its `input`. */
export interface BudgetChoice {
  /** By how much the limits that are used up are raised: dollars, milliseconds, or how many. Default: what was proposed. */
  raise?: Amounts;
  /** Go on with the cheaper model of this name. */
  model?: string;
}

/** What is asked, for those who show it. */
export interface BudgetQuestion {
  crossed: CrossedLimit[];
  /** What an approval without words of its own raises. */
  proposed: Amounts;
  /** Cheaper models to choose from. */
  models: string[];
}

/** An answer, as it is recorded. */
export interface BudgetAnswer {
  /** Of the approval. */
  id: string;
  crossed: CrossedLimit[];
  /** Null: the run stops. */
  raise: Amounts | null;
  model?: string;
  /** Null: nobody answered in time. */
  by: string | null;
  reason?: string;
  /** When it reached the run. */
  at: number;
  /** How long the run has waited for it. */
  waitedMs: number;
}

/** What a run that was stopped tells of it. */
export type BudgetStop = Pick<BudgetAnswer, 'crossed' | 'by' | 'reason' | 'at'>;

export function toAnswer(
  decision: Decision | undefined,
  asked: { id: string; question: BudgetQuestion; requestedAt: number; now: number },
): BudgetAnswer {
  const { id, question, requestedAt, now: at } = asked;
  const { crossed, proposed } = question;
  const answer = { id, crossed, at, waitedMs: Math.max(0, at - requestedAt) };
  if (decision === undefined) return { ...answer, raise: null, by: null };
  const { approved, by, reason, input } = decision;
  const { raise = proposed, model } = (input ?? {}) as BudgetChoice;
  return {
    ...answer,
    raise: approved ? raise : null,
    by,
    ...(approved && model !== undefined ? { model } : {}),
    ...(reason === undefined ? {} : { reason }),
  };
}

/** By how much the limit of a scope was raised: by each answer that was asked about it. */
export function raisedBy(answers: readonly BudgetAnswer[], { of, limit }: Pick<CrossedLimit, 'of' | 'limit'>): number {
  const about = answers.filter(({ crossed }) => crossed.some((each) => each.of === of && each.limit === limit));
  return about.reduce((sum, { raise }) => sum + (raise?.[limit] ?? 0), 0);
}

/** How long the run has waited for answers; what it waited for two at once counts once. */
export function waitedFor(answers: readonly BudgetAnswer[]): number {
  let sum = 0;
  // Latest end first: a wait adds what it has before those that ended later.
  let from = Number.POSITIVE_INFINITY;
  for (const { at, waitedMs } of answers.toSorted((a, b) => b.at - a.at)) {
    const began = at - waitedMs;
    sum += Math.max(0, Math.min(at, from) - began);
    from = Math.min(from, began);
  }
  return sum;
}

/** The name of the model that the last answer which chose one has chosen. */
export function chosenModel(answers: readonly BudgetAnswer[]): string | undefined {
  return answers.findLast(({ model }) => model !== undefined)?.model;
}

export function stopOf(answers: readonly BudgetAnswer[]): BudgetStop | undefined {
  const stop = answers.find(({ raise }) => raise === null);
  if (stop === undefined) return undefined;
  const { crossed, by, reason, at } = stop;
  return { crossed, by, at, ...(reason === undefined ? {} : { reason }) };
}

/** Once more what the budget was; as much as is needed to get on, if that is more. */
export function proposedRaise(crossed: ReadonlyArray<CrossedLimit & { budget: number }>): Amounts {
  const proposed: Amounts = {};
  for (const { limit, used, allowed, budget } of crossed)
    proposed[limit] = Math.max(proposed[limit] ?? 0, budget + Math.max(0, used - allowed));
  return proposed;
}

/** In words: "the run has used $1.02 of $1.00". */
export function inWords(crossed: readonly CrossedLimit[]): string {
  return crossed
    .map(({ of, limit, used, allowed }) => `the ${of} has used ${amount(limit, used)} of ${amount(limit, allowed)}`)
    .join(', ');
}

const UNITS = { tokens: 'token', toolCalls: 'tool call', turns: 'turn' } as const;

function amount(limit: LimitName, value: number): string {
  if (limit === 'usd') return `$${value.toFixed(value > 0 && value < 0.1 ? 6 : 2)}`;
  if (limit === 'wallClock') return `${Math.round(value / 1_000)} s`;
  return `${value} ${UNITS[limit]}${value === 1 ? '' : 's'}`;
}

/** The JSON Schema of `BudgetChoice` for what is asked. */
export function choiceSchema({ crossed, models }: BudgetQuestion): unknown {
  const limits = [...new Set(crossed.map(({ limit }) => limit))];
  const properties = Object.fromEntries(limits.map((limit) => [limit, { type: 'number', exclusiveMinimum: 0 }]));
  return {
    type: 'object',
    properties: {
      raise: { type: 'object', properties, additionalProperties: false },
      ...(models.length === 0 ? {} : { model: { type: 'string', enum: models } }),
    },
    additionalProperties: false,
  };
}

/** Throws `payload_invalid` for an answer that says something else than what is asked. */
export function checkChoice({ crossed, models }: BudgetQuestion, choice: unknown): void {
  const { raise, model, ...others } = isRecord(choice) ? choice : { none: true };
  const limits = [...new Set(crossed.map(({ limit }) => limit))];
  const hasRaise = raise === undefined || (isRecord(raise) && Object.entries(raise).every(isAmountOf(limits)));
  const hasModel = model === undefined || (typeof model === 'string' && models.includes(model));
  if (hasRaise && hasModel && Object.keys(others).length === 0) return;
  const example = JSON.stringify({ raise: Object.fromEntries(limits.map((limit) => [limit, 1])) });
  const which = models.length === 0 ? '' : `, with "model" (${models.join(', ')}) or without`;
  throw new DurableError(
    'payload_invalid',
    `Cannot take this answer about a budget: ${JSON.stringify(choice) ?? 'nothing'}. Write ${example}, each greater than 0${which}.`,
    { details: { limits, models } },
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isAmountOf(limits: readonly string[]): (entry: [string, unknown]) => boolean {
  return ([limit, amount]) => limits.includes(limit) && typeof amount === 'number' && amount > 0 && amount < Infinity;
}

/** What later runs of the thread know of it: raises of the thread's own limits. */
export function answersForThread(answers: readonly BudgetAnswer[]): BudgetAnswer[] {
  return answers.flatMap(({ id, raise, by, at, ...answer }) => {
    const crossed = answer.crossed.filter(({ of }) => of === 'thread');
    return raise === null || crossed.length === 0 ? [] : [{ id, crossed, raise, by, at, waitedMs: 0 }];
  });
}

/** What a tool call or a turn meets that a stop kept from starting. */
export function budgetError({ by, crossed, reason }: BudgetStop, what: string): DurableError {
  const who =
    by === null ? 'nobody answered in time' : `${by} has stopped it${reason === undefined ? '' : `: ${reason}`}`;
  return new DurableError('budget_exceeded', `${what}: ${inWords(crossed)}, and ${who}.`, { details: { crossed, by } });
}
