/** The agent whose call an approval is about, where it is registered: its functions say who may answer, its schemas what. */

import { DurableAgent } from '../agent/durable-agent.ts';
import type { Registrable } from '../runtime/registrable.ts';
import type { ApprovingAgent, AskingAgent } from './approval-answer.ts';
import type { RuntimeOptions } from './runtime-options.ts';

/** Undefined if it is not registered, and for one that shares its id with another: nobody knows which of them it was. */
export function findAskingAgent(
  { agents = {} }: RuntimeOptions,
  { workflow, inner }: AskingAgent,
): ApprovingAgent | undefined {
  const agent = inner === null ? own(agents, workflow) : called(agents, inner);
  if (!(agent instanceof DurableAgent)) return undefined;
  const { approvals = {}, budget } = agent.durable;
  return { tools: agent.tools, approvals, budgetApproval: budget?.approval };
}

function own(agents: Record<string, Registrable>, name: string): Registrable | undefined {
  return Object.hasOwn(agents, name) ? agents[name] : undefined;
}

function called(agents: Record<string, Registrable>, id: string): Registrable | undefined {
  const [agent, ...others] = new Set(
    Object.values(agents).filter((each) => each instanceof DurableAgent && each.id === id),
  );
  return others.length === 0 ? agent : undefined;
}
