/** Whether all models of an agent have a price, where dollars are limited. */

import type { LanguageModel } from 'ai';
import { DurableError } from '../runtime/errors.ts';
import { budgetOf } from './budget-settings.ts';
import type { AgentDefaults, LimitedBudget } from './budget-settings.ts';
import type { DurableSettings } from './durable-settings.ts';
import { priceOf } from './turn/prices.ts';

/** A function may limit dollars for some tenants: the turn of a model without a price shows then. */
export function isPricedUnder(budget: LimitedBudget | undefined): boolean {
  if (budget === undefined) return false;
  const { run, thread, tenant } = budget;
  return [run, thread, typeof tenant === 'function' ? undefined : tenant].some((limits) => limits?.usd !== undefined);
}

/** Throws `price_unknown`, which names the models. What `prepareCall` and `prepareStep` choose is looked at when it is asked. */
export function assertPriced(
  agent: { model: LanguageModel; durable: DurableSettings },
  { name, shared }: { name: string; shared: AgentDefaults },
): void {
  const { budget: own, prices = {}, fallbackModels = [] } = agent.durable;
  const budget = budgetOf(own, shared.budget);
  if (!isPricedUnder(budget)) return;
  const known = { ...shared.prices, ...prices };
  const models = [agent.model, ...fallbackModels, ...Object.values(budget?.cheaperModels ?? {})];
  const unknown = models.map(idOf).filter((model) => priceOf(known, model) === undefined);
  if (unknown.length === 0) return;
  const list = [...new Set(unknown.map(({ model }) => `"${model}"`))].join(', ');
  throw new DurableError(
    'price_unknown',
    `Cannot count the dollars of the agent "${name}": nobody has said what ${list} costs. Add them to prices, of the runtime or in durable.prices: ` +
      '{ "gpt-5": { inputPerMillion: 1.25, outputPerMillion: 10 } }; 0 is a price too.',
    { details: { agent: name, models: unknown } },
  );
}

function idOf(model: LanguageModel): { provider: string; model: string } {
  return typeof model === 'string' ? { provider: '', model } : { provider: model.provider, model: model.modelId };
}
