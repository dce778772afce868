/** What an agent's run keeps of its budget from one segment to the next. */

import type { RunContext } from '../../runtime/context.ts';
import { answersIn } from '../budget/budget-gate.ts';
import type { AgentState } from './agent-state.ts';

/** The state with the answers that were recorded since the last checkpoint; each once. */
export function withBudgetAnswers(state: AgentState, context: RunContext): AgentState {
  const { budgetAnswers: known = [] } = state;
  const added = answersIn(context).filter(({ id }) => known.every((answer) => answer.id !== id));
  return added.length === 0 ? state : { ...state, budgetAnswers: [...known, ...added] };
}
