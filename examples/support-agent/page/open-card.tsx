import type { DurableAgentHelpers, PendingApproval } from 'everturn/react';
import { ApprovalCard } from './approval-card.tsx';
import { BudgetCard } from './budget-card.tsx';
import { DoubtCard } from './doubt-card.tsx';
import type { Server } from './server-state.ts';

const CARDS = { execute: ApprovalCard, 'in-doubt': DoubtCard, budget: BudgetCard } as const;

/** What a person is asked, in the form that it needs. */
export function OpenCard({ approval, server }: { approval: PendingApproval; server: Server }) {
  const link = server.state?.links.find(({ approvalId }) => approvalId === approval.id)?.url;
  const Asked = CARDS[approval.question];
  return <Asked approval={approval} link={link} />;
}

/** What is asked about no call of the message: budgets, and calls of agents below. */
export function OtherCards({ agent, server }: { agent: DurableAgentHelpers; server: Server }) {
  const shown = new Set(
    agent.messages.flatMap(({ parts }) => parts.map((part) => ('toolCallId' in part ? part.toolCallId : undefined))),
  );
  return agent.approvals
    .filter(({ toolCallId }) => !shown.has(toolCallId))
    .map((approval) => <OpenCard key={approval.id} approval={approval} server={server} />);
}
