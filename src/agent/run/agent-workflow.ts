/** An agent as a workflow: what the runtime registers under the agent's name. */

import type { RunContext } from '../../runtime/context.ts';
import { toMakeLimits } from '../../runtime/limits.ts';
import type { WorkflowDefinition } from '../../runtime/registrable.ts';
import { parseAgentInput } from '../agent-input.ts';
import type { StoredInput } from '../agent-input.ts';
import { AgentRun } from './agent-run.ts';
import type { RunnableAgent } from './segment.ts';

/** The definition under which an agent's runs execute. Runs follow the newest version: agents survive deploys. */
export function agentWorkflow(agent: RunnableAgent, name: string): WorkflowDefinition {
  // The state of a run between `run`, `reopen` and `settle`, for as long as its context lives.
  const runs = new WeakMap<RunContext, AgentRun>();
  const runOf = (context: RunContext, input: unknown): AgentRun => {
    const known = runs.get(context);
    if (known !== undefined) return known;
    const run = new AgentRun({ context, agent, input: input as StoredInput });
    runs.set(context, run);
    return run;
  };
  const limits = toMakeLimits(agent.durable.limits ?? {}, 'durable.limits');
  return {
    name,
    versions: 'newest',
    fields: ['prompt', 'message', 'messages', 'options', 'by'],
    parseInput: (input) => parseAgentInput(name, input),
    ...(limits === undefined ? {} : { limits }),
    run: (context, input) => runOf(context, input).run(),
    reopen: (context) => runOf(context, undefined).reopen(),
    closing: (context) => runOf(context, undefined).closing(),
    settle: (context, end) => runOf(context, undefined).settle(end),
  };
}
