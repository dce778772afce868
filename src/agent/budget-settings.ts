/** The setting `budget`: how much runs, threads and tenants may use before a person is asked. */

import type { LanguageModel } from 'ai';
import { durationMs } from '../runtime/duration.ts';
import type { Duration } from '../runtime/duration.ts';
import { DurableError } from '../runtime/errors.ts';
import { checkApprovalSettings } from './approval-settings.ts';
import type { DurableApprovalSettings } from './approval-settings.ts';
import type { BudgetChoice } from './budget-answer.ts';
import type { Prices } from './turn/prices.ts';

/** Each is crossed as soon as it is used up; what is not named is not limited. */
export interface BudgetLimits {
  /** Input and output tokens, as providers count them. */
  tokens?: number;
  /** US dollars, by `prices`. */
  usd?: number;
  /** Tool calls that models asked for, without those that their providers execute. */
  toolCalls?: number;
  /** Model turns that completed. */
  turns?: number;
}

export interface RunBudget extends BudgetLimits {
  /** Since the run was created, whether a process lived or not. What it waited for answers about its budget does not count. */
  wallClock?: Duration;
}

export interface TenantBudget extends BudgetLimits {
  /** Counts what was used today, or this month, in UTC. Default: all that was ever used. */
  per?: 'day' | 'month';
}

export interface BudgetScopes {
  run?: RunBudget;
  thread?: BudgetLimits;
  /** Or a function that is asked at each boundary: tenants have their plans. Undefined: no limit. */
  tenant?: TenantBudget | ((tenant: string) => TenantBudget | undefined | Promise<TenantBudget | undefined>);
}

/** Limits that stand here themselves are those of the run: `{ usd: 1 }` is `{ run: { usd: 1 } }`. */
export interface Budget extends BudgetScopes, RunBudget {
  /** Models to go on with, by the names under which whoever is asked may choose them. */
  cheaperModels?: Record<string, LanguageModel>;
  /** Who is asked, and for how long; when nobody answers in time, the run stops. */
  approval?: Omit<DurableApprovalSettings<BudgetChoice>, 'once' | 'needed'>;
}

/** What a runtime sets for all of its agents. What an agent says itself goes before, scope by scope and price by price. */
export interface AgentDefaults {
  budget?: Budget | undefined;
  prices?: Prices | undefined;
}

const COUNTED = ['tokens', 'toolCalls', 'turns'] as const;
const LIMITS = [...COUNTED, 'usd'] as const;
const OF_RUN = [...LIMITS, 'wallClock'] as const;
const SCOPES = ['run', 'thread', 'tenant'] as const;

/** Throws `invalid_argument` and `invalid_duration`. */
export function checkBudget(budget: Budget, where: string): void {
  checkNames(budget, { where, known: [...OF_RUN, ...SCOPES, 'cheaperModels', 'approval'] });
  const flat = OF_RUN.find((name) => budget[name] !== undefined);
  if (flat !== undefined && budget.run !== undefined)
    throw invalid(`${where}.${flat}: it is a limit of the run, and so is ${where}.run. Write it there`);
  checkRunBudget(runBudgetOf(budget) ?? {}, budget.run === undefined ? where : `${where}.run`);
  if (budget.thread !== undefined) checkLimits(budget.thread, { where: `${where}.thread`, known: LIMITS });
  const { tenant } = budget;
  if (tenant !== undefined && typeof tenant !== 'function') checkTenantBudget(tenant, `${where}.tenant`);
  for (const [name, model] of Object.entries(budget.cheaperModels ?? {})) {
    if (typeof model !== 'string' && typeof (model as unknown) !== 'object')
      throw invalid(`${where}.cheaperModels.${name}: it is no model`);
  }
  if (budget.approval !== undefined)
    checkApprovalSettings(budget.approval, { where: `${where}.approval`, of: 'agent' });
}

/** Throws `invalid_argument`. */
export function checkTenantBudget(budget: TenantBudget, where: string): void {
  checkLimits(budget, { where, known: [...LIMITS, 'per'] });
  const { per } = budget;
  if (per !== undefined && per !== 'day' && per !== 'month')
    throw invalid(`${where}.per: ${JSON.stringify(per)} is neither "day" nor "month"`);
}

/** The run's limits, wherever they stand. */
export function runBudgetOf(budget: Budget): RunBudget | undefined {
  if (budget.run !== undefined) return budget.run;
  const flat = Object.fromEntries(OF_RUN.flatMap((name) => (budget[name] === undefined ? [] : [[name, budget[name]]])));
  return Object.keys(flat).length === 0 ? undefined : flat;
}

/** What holds where both have something to say. Undefined where nothing is limited. */
export function budgetOf(own: Budget | undefined, shared: Budget | undefined): LimitedBudget | undefined {
  const { cheaperModels = {}, approval = {}, ...scopes } = { ...partsOf(shared), ...partsOf(own) };
  if (Object.keys(scopes).length === 0) return undefined;
  return { ...scopes, cheaperModels, approval, isApprovalShared: own?.approval === undefined };
}

type BudgetParts = BudgetScopes & Pick<Budget, 'cheaperModels' | 'approval'>;

/** Those that are there. */
function partsOf(budget: Budget | undefined): BudgetParts {
  if (budget === undefined) return {};
  const { thread, tenant, cheaperModels, approval } = budget;
  const parts = { run: runBudgetOf(budget), thread, tenant, cheaperModels, approval };
  return Object.fromEntries(Object.entries(parts).filter(([, part]) => part !== undefined));
}

export interface LimitedBudget extends BudgetScopes, Required<Pick<Budget, 'cheaperModels' | 'approval'>> {
  /** `approval` is what the runtime says for all agents. */
  isApprovalShared: boolean;
}

function checkRunBudget(budget: RunBudget, where: string): void {
  if (budget.wallClock !== undefined && !(durationMs(budget.wallClock, `${where}.wallClock`) > 0))
    throw invalid(`${where}.wallClock: it leaves no time`);
  const { wallClock: _, ...limits } = budget;
  checkLimits(limits, { where, known: LIMITS });
}

function checkLimits(limits: BudgetLimits, { where, known }: { where: string; known: readonly string[] }): void {
  checkNames(limits, { where, known });
  for (const name of LIMITS) {
    const value: unknown = limits[name];
    if (value === undefined) continue;
    if (!(typeof value === 'number' && Number.isFinite(value) && value > 0))
      throw invalid(`${where}.${name}: ${JSON.stringify(value) ?? 'this'} is no number greater than 0`);
    if (name !== 'usd' && !Number.isInteger(value)) throw invalid(`${where}.${name}: ${value} is no whole number`);
  }
}

function checkNames(value: object, { where, known }: { where: string; known: readonly string[] }): void {
  if (typeof value !== 'object' || value === null) throw invalid(`${where}: it is no budget`);
  const unknown = Object.keys(value).find((name) => !known.includes(name));
  if (unknown !== undefined) throw invalid(`${where}: it has no "${unknown}". It has ${known.join(', ')}`);
}

function invalid(text: string): DurableError {
  return new DurableError('invalid_argument', `Cannot configure ${text}.`);
}
