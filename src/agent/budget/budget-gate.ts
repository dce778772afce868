/**
 * Where one call of an agent's loop stops when a budget is used up: before a model's attempt at a turn, and before a tool call starts.
 *
 *  B1 What is used is read from the ledger as it is committed. A turn's row stands there before its tools or the next turn can start.
 *  B2 Of the tool calls of one response so many start as the budget has room for, in the order in which they were asked for; the others wait
 *     for one question together.
 *  B3 A question, its answer and what follows from it are journaled; that nothing was used up is not. So a replay asks for the former where it
 *     did, decides nothing of what has begun, and counts nothing twice.
 *  B4 After a stop nothing starts any more in this run.
 */

import type { LanguageModel } from 'ai';
import { COMPLETIONS } from '../../runtime/context.ts';
import type { RunContext } from '../../runtime/context.ts';
import type { JournalEvent } from '../../runtime/event.ts';
import { checkTenantBudget } from '../budget-settings.ts';
import type { BudgetLimits, LimitedBudget, RunBudget, TenantBudget } from '../budget-settings.ts';
import type { OnApprovalRequested } from '../approval-settings.ts';
import { isAboutApproval } from '../tool/inner-approval.ts';
import { chosenModel, stopOf, waitedFor } from '../budget-answer.ts';
import type { BudgetAnswer, BudgetScope, BudgetStop } from '../budget-answer.ts';
import { ANSWERED, ASKED, askAboutBudget } from './budget-ask.ts';
import { crossedLimits, ledgerScopeOf } from './crossed-limits.ts';
import type { Boundary, Crossed, LimitedScope } from './crossed-limits.ts';

/** What an agent's own run adds; user code's own calls add nothing. */
export interface BudgetBinding {
  /** Those of the thread's earlier runs, and what the run's state knows. */
  answers: () => readonly BudgetAnswer[];
  /** Model turns of the run so far. */
  turns: () => number;
  requestedBy: string | null;
  senders: () => string[];
}

export interface BudgetGateOptions extends Partial<BudgetBinding> {
  context: RunContext;
  /** Of the call. */
  path: string;
  budget: LimitedBudget;
  onApprovalRequested: OnApprovalRequested | undefined;
  inFrame: <T>(body: () => T) => T;
}

/** What waits at one place. */
interface Group {
  /** Tool calls that the response has asked for. */
  calls: number;
  /** Those of them that have come to their start. */
  arrived: number;
  questions: Question[];
}

interface Question {
  answered: Promise<void>;
  isOpen: boolean;
}

export class BudgetGate {
  readonly #options: BudgetGateOptions;
  readonly #groups = new Map<string, Group>();

  constructor(options: BudgetGateOptions) {
    this.#options = options;
  }

  /** How many calls wait for their start at a place, before the first of them comes. */
  expectCalls(place: string, calls: number): void {
    this.#group(place).calls = calls;
  }

  /** Resolves when the attempt may start, with the stop if it must not. */
  beforeTurn(turn: { n: number; key: string }): Promise<BudgetStop | undefined> {
    return this.#pass(`t${turn.n}`, { key: turn.key, boundary: { kind: 'turn' } });
  }

  /** As `beforeTurn`; call it once for each, in their order (B2). */
  beforeTool(place: string, key: string): Promise<BudgetStop | undefined> {
    const group = this.#group(`${place}-tools`);
    const waiting = Math.max(1, this.#group(place).calls - group.arrived);
    group.arrived += 1;
    return this.#pass(`${place}-tools`, { key, boundary: { kind: 'tool', waiting } });
  }

  /** The cheaper model that somebody has chosen. */
  model(): { name: string; model: LanguageModel } | undefined {
    const { cheaperModels } = this.#options.budget;
    const name = chosenModel(this.#answers());
    const model = name !== undefined && Object.hasOwn(cheaperModels, name) ? cheaperModels[name] : undefined;
    return name === undefined || model === undefined ? undefined : { name, model };
  }

  async #pass(place: string, at: { key: string; boundary: Boundary }): Promise<BudgetStop | undefined> {
    this.#askAgain(place);
    const began = this.#beginningOf(at);
    if (began >= 0) {
      await this.#answeredBefore(place, began);
      return undefined;
    }
    for (;;) {
      const stop = stopOf(this.#answers());
      if (stop !== undefined) return stop; // B4
      const crossed = await this.#crossed(at.boundary);
      if (crossed.length === 0) return undefined;
      await this.#ask(place, crossed);
    }
  }

  /** B3. What was asked here before this process began. */
  #askAgain(place: string): void {
    const { questions } = this.#group(place);
    const isAsked = (n: number): boolean =>
      this.#options.context.recorded(`${this.#key(place, n)}/${ASKED}`) !== undefined;
    while (isAsked(questions.length)) this.#open(place, []);
  }

  /** Where the journal knows of what begins here, for the first time; -1 if it does not. A turn has begun when it is recorded. */
  #beginningOf({ key, boundary }: { key: string; boundary: Boundary }): number {
    if (boundary.kind === 'turn') return this.#journal().findIndex(isCompletionOf(key));
    return this.#journal().findIndex((event) => isPartOf(event, key));
  }

  /** B3. What begins after an answer is asked for after it on replay too. */
  async #answeredBefore(place: string, began: number): Promise<void> {
    const events = this.#journal();
    for (const [n, { answered }] of this.#group(place).questions.entries()) {
      const then = events.findIndex(isCompletionOf(`${this.#key(place, n)}/${ANSWERED}`));
      if (then >= 0 && then < began) await answered;
    }
  }

  #journal(): JournalEvent[] {
    const { context, path } = this.#options;
    return context.journal(`${path}/`);
  }

  async #ask(place: string, crossed: Crossed[]): Promise<void> {
    const last = this.#group(place).questions.at(-1);
    const question = last?.isOpen === true ? last : this.#open(place, crossed);
    await question.answered;
  }

  #open(place: string, crossed: Crossed[]): Question {
    const { inFrame, ...options } = this.#options;
    const { questions } = this.#group(place);
    const key = this.#key(place, questions.length);
    const answered = inFrame(() => askAboutBudget({ ...options, key, crossed }));
    const question: Question = { answered, isOpen: true };
    const close = (): void => {
      question.isOpen = false;
    };
    // Whoever waits for it hears why it was given up.
    answered.then(close, close);
    questions.push(question);
    return question;
  }

  #key(place: string, n: number): string {
    return `${this.#options.path}/budget:${place}#${n}`;
  }

  #group(place: string): Group {
    const group = this.#groups.get(place) ?? { calls: 0, arrived: 0, questions: [] };
    this.#groups.set(place, group);
    return group;
  }

  /** Each once: those of the journal may stand in the run's state too. */
  #answers(): BudgetAnswer[] {
    const { context, answers } = this.#options;
    const journaled = answersIn(context);
    return [...new Map([...(answers?.() ?? []), ...journaled].map((answer) => [answer.id, answer])).values()];
  }

  /** B1 */
  async #crossed(boundary: Boundary): Promise<Crossed[]> {
    const { context } = this.#options;
    const scopes = await this.#scopes();
    const sums = await context.ledgerTotals(scopes.map(({ ledger }) => ledger));
    const answers = this.#answers();
    const elapsedMs = context.storeNow() - context.run.createdAt - waitedFor(answers);
    return scopes.flatMap((scope, index) => {
      const totals = sums[index];
      return totals === undefined ? [] : crossedLimits(scope, { spent: { totals, elapsedMs }, answers, boundary });
    });
  }

  async #scopes(): Promise<LimitedScope[]> {
    const { run, thread } = this.#options.budget;
    const tenant = await this.#tenantBudget();
    return [
      ...this.#scope('run', run),
      ...this.#scope('thread', thread),
      ...this.#scope('tenant', tenant, tenant?.per),
    ];
  }

  #scope(of: BudgetScope, limits: RunBudget | BudgetLimits | undefined, per?: TenantBudget['per']): LimitedScope[] {
    const { context } = this.#options;
    const ledger = ledgerScopeOf(of, { run: context.run, per, now: context.storeNow() });
    return limits === undefined || ledger === undefined ? [] : [{ of, limits, ledger }];
  }

  async #tenantBudget(): Promise<TenantBudget | undefined> {
    const { budget, context } = this.#options;
    const { tenant: limits } = budget;
    const { tenant } = context.run;
    if (tenant === null || typeof limits !== 'function') return limits as TenantBudget | undefined;
    const found = await context.aside(async () => limits(tenant));
    if (found !== undefined) checkTenantBudget(found, `budget.tenant of "${tenant}"`);
    return found;
  }
}

function isCompletionOf(key: string): (event: JournalEvent) => boolean {
  return (event) => event.key === key && COMPLETIONS.has(event.type);
}

/** Of a tool call that has begun: not what was decided and asked about it before. */
function isPartOf({ key, type }: JournalEvent, tool: string): boolean {
  if (key === tool) return type !== 'policy_decided';
  return key.startsWith(`${tool}/`) && !isAboutApproval(key, tool);
}

/** Answers about budgets in the run so far: those of its last checkpoint, and those that its journal holds since. One may stand in both. */
export function answersIn(context: RunContext): BudgetAnswer[] {
  const checkpoint = context.checkpoints.at(-1)?.value as { budgetAnswers?: BudgetAnswer[] } | undefined;
  const journaled = context
    .journal('')
    .filter(({ type, key }) => type === 'step_completed' && key.endsWith(`/${ANSWERED}`) && key.includes('/budget:'))
    .map(({ value }) => value as BudgetAnswer);
  return [...(checkpoint?.budgetAnswers ?? []), ...journaled];
}
