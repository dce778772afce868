/** What an agent's run keeps of its budget from one segment to the next. */

import type { LanguageModel } from 'ai';
import type { RunContext } from '../../runtime/context.ts';
import { chosenModel } from '../budget-answer.ts';
import { budgetOf } from '../budget-settings.ts';
import type { AgentDefaults } from '../budget-settings.ts';
import { answersIn } from '../budget/budget-gate.ts';
import type { DurableSettings } from '../durable-settings.ts';
import type { AgentState } from './agent-state.ts';

/** The state with the answers that were recorded since the last checkpoint; each once. */
export function withBudgetAnswers(state: AgentState, context: RunContext): AgentState {
  const { budgetAnswers: known = [] } = state;
  const answers = new Map([...known, ...answersIn(context)].map((answer) => [answer.id, answer]));
  return answers.size === known.length ? state : { ...state, budgetAnswers: [...answers.values()] };
}

/** The cheaper model that the run goes on with. */
export function cheaperModelOf(
  { budgetAnswers = [] }: AgentState,
  { context, settings }: { context: RunContext; settings: DurableSettings },
): LanguageModel | undefined {
  const name = chosenModel([...budgetAnswers, ...answersIn(context)]);
  const shared = (context.agentDefaults ?? {}) as AgentDefaults;
  const models = budgetOf(settings.budget, shared.budget)?.cheaperModels ?? {};
  return name !== undefined && Object.hasOwn(models, name) ? models[name] : undefined;
}
