/** What one call of an agent's loop may use, and what it costs. */

import type { LanguageModel, ModelMessage } from 'ai';
import type { RunContext } from '../../runtime/context.ts';
import { DurableError } from '../../runtime/errors.ts';
import { BudgetGate } from '../budget/budget-gate.ts';
import type { BudgetBinding } from '../budget/budget-gate.ts';
import type { BudgetStop } from '../budget-answer.ts';
import { budgetOf } from '../budget-settings.ts';
import type { AgentDefaults } from '../budget-settings.ts';
import type { DurableSettings } from '../durable-settings.ts';
import { isPricedUnder } from '../priced-models.ts';
import { priceOf } from '../turn/prices.ts';
import type { ModelPrice, Prices } from '../turn/prices.ts';
import { countToolCalls } from '../turn/turn-record.ts';
import type { TurnRecord } from '../turn/turn-record.ts';

export interface CallSpendingOptions {
  context: RunContext;
  /** Of the call. */
  path: string;
  settings: DurableSettings;
  binding: BudgetBinding | undefined;
  /** The call's end is recorded: nothing of it starts any more. */
  isOver: boolean;
  inFrame: <T>(body: () => T) => T;
}

export class CallSpending {
  readonly #path: string;
  readonly #prices: Prices;
  readonly #needsPrices: boolean;
  readonly #gate: BudgetGate | undefined;

  constructor({ context, path, settings, binding, isOver, inFrame }: CallSpendingOptions) {
    const shared = (context.agentDefaults ?? {}) as AgentDefaults;
    const budget = budgetOf(settings.budget, shared.budget);
    const { onApprovalRequested } = settings;
    this.#path = path;
    this.#prices = { ...shared.prices, ...settings.prices };
    this.#needsPrices = isPricedUnder(budget);
    this.#gate =
      budget === undefined || isOver
        ? undefined
        : new BudgetGate({ ...binding, context, path, budget, onApprovalRequested, inFrame });
  }

  /** Resolves when a model may try the turn, with the stop if none may; undefined where nothing is limited. */
  beforeTurn(turn: { n: number; key: string }): Promise<BudgetStop | undefined> | undefined {
    return this.#gate?.beforeTurn(turn);
  }

  /** As `beforeTurn`, for the tool call of a key. */
  beforeTool(key: string): Promise<BudgetStop | undefined> | undefined {
    const [place = ''] = key.slice(this.#path.length + 1).split('/');
    return this.#gate?.beforeTool(place, key);
  }

  turnCommitted({ n }: { n: number }, record: TurnRecord): void {
    this.#gate?.expectCalls(`t${n}`, countToolCalls(record));
  }

  /** The calls that are approved in the last message start before the first turn. */
  begins(messages: readonly ModelMessage[]): void {
    const last = messages.at(-1);
    if (last?.role !== 'tool') return;
    const approved = last.content.filter(
      (part) => part.type === 'tool-approval-response' && part.approved && part.providerExecuted !== true,
    );
    this.#gate?.expectCalls('init', approved.length);
  }

  /** The cheaper model that somebody has chosen. */
  cheaperModel(): LanguageModel | undefined {
    return this.#gate?.model()?.model;
  }

  /** Throws `price_unknown` under a budget of dollars: what cannot be counted is not spent. */
  priceOf(model: { provider: string; modelId: string }): ModelPrice | undefined {
    const named = { provider: model.provider, model: model.modelId };
    const price = priceOf(this.#prices, named);
    if (price !== undefined || !this.#needsPrices) return price;
    throw new DurableError(
      'price_unknown',
      `Cannot ask the model "${model.modelId}" of "${model.provider}" under a budget of dollars: nobody has said what it costs. ` +
        `Add prices: { "${model.modelId}": { inputPerMillion, outputPerMillion } } to the runtime or the agent.`,
      { details: named },
    );
  }
}
