/** Which limits of a budget are used up. Pure. */

import { durationMs } from '../../runtime/duration.ts';
import type { LedgerScope, LedgerTotals, Run } from '../../runtime/store.ts';
import type { BudgetLimits, RunBudget } from '../budget-settings.ts';
import { raisedBy } from '../budget-answer.ts';
import type { BudgetAnswer, BudgetScope, CrossedLimit, LimitName } from '../budget-answer.ts';

/** What the next thing to start is: a model's attempt at a turn, or a tool call. */
export type Boundary =
  | { kind: 'turn' }
  /** `waiting`: tool calls that models have asked for and that have not come to their start yet, this one among them. */
  | { kind: 'tool'; waiting: number };

/** The limits of a scope, and where what it has used is summed. */
export interface LimitedScope {
  of: BudgetScope;
  limits: RunBudget | BudgetLimits;
  ledger: LedgerScope;
}

export interface Spent {
  totals: LedgerTotals;
  /** Of the run, without what it waited for answers about its budget. */
  elapsedMs: number;
}

/** A limit that is used up, with what the budget was before any raise. */
export type Crossed = CrossedLimit & { budget: number };

const NANO_USD = 1_000_000_000;
/** What is looked at before a turn, and before a tool call: what the other one uses up keeps nobody waiting. */
const LOOKED_AT: Record<Boundary['kind'], readonly LimitName[]> = {
  turn: ['tokens', 'usd', 'turns', 'wallClock'],
  tool: ['tokens', 'usd', 'toolCalls', 'wallClock'],
};

/** What is used is counted in whole units: tokens, calls, milliseconds, and dollars in billionths. */
export function crossedLimits(
  scope: LimitedScope,
  { spent, answers, boundary }: { spent: Spent; answers: readonly BudgetAnswer[]; boundary: Boundary },
): Crossed[] {
  return LOOKED_AT[boundary.kind].flatMap((limit) => {
    const budget = limitOf(scope.limits, limit);
    if (budget === undefined) return [];
    const { of } = scope;
    const unit = limit === 'usd' ? NANO_USD : 1;
    const allowed = Math.round((budget + raisedBy(answers, { of, limit })) * unit);
    const used = usedOf(limit, spent, boundary);
    return used < allowed ? [] : [{ of, limit, used: used / unit, allowed: allowed / unit, budget }];
  });
}

function limitOf(limits: RunBudget | BudgetLimits, name: LimitName): number | undefined {
  if (name !== 'wallClock') return limits[name];
  const wallClock = 'wallClock' in limits ? limits.wallClock : undefined;
  return wallClock === undefined ? undefined : durationMs(wallClock, 'budget.wallClock');
}

function usedOf(limit: LimitName, { totals, elapsedMs }: Spent, boundary: Boundary): number {
  switch (limit) {
    case 'tokens':
      return totals.inputTokens + totals.outputTokens;
    case 'usd':
      return totals.nanoUsd;
    case 'turns':
      return totals.turns;
    case 'toolCalls':
      // A turn's row counts all of its calls: those that wait are not used yet.
      return totals.toolCalls - (boundary.kind === 'tool' ? boundary.waiting : 0);
    case 'wallClock':
      return elapsedMs;
  }
}

/** Where a run's thread or tenant is summed; undefined where the run has none. */
export function ledgerScopeOf(
  of: BudgetScope,
  { run, per, now }: { run: Pick<Run, 'id' | 'thread' | 'tenant'>; per?: 'day' | 'month' | undefined; now: number },
): LedgerScope | undefined {
  const { id, thread, tenant } = run;
  if (of === 'run') return { run: id };
  if (of === 'thread') return thread === null ? undefined : { thread, tenant };
  if (tenant === null) return undefined;
  if (per === undefined) return { tenant };
  return { tenant, period: new Date(now).toISOString().slice(0, per === 'day' ? 10 : 7) };
}
