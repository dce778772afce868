/** What the page says of its state, beside the conversation. */
import type { DurableAgentHelpers } from 'everturn/react';
import type { Server } from './server-state.ts';

/** For when nobody serves the page. */
export function goneNotice({ approvals, questions }: DurableAgentHelpers): string {
  if (approvals.length + questions.length > 0)
    return 'The server is gone. Your answer is sent as soon as it is back: what waits for it is stored.';
  return 'The server is gone. What was said is stored; the answer goes on when it is back.';
}

/** What a screen reader says: changes of state, not each token. */
export function announcementOf(agent: DurableAgentHelpers, server: Server): string {
  const { status, approvals, questions, messages } = agent;
  if (!server.isUp) return goneNotice(agent);
  if (approvals.some(({ question }) => question === 'in-doubt')) return 'A call is in doubt, and waits for you.';
  if (approvals.some(({ question }) => question === 'budget')) return 'A budget is used up, and the run waits for you.';
  if (approvals.length > 0) return 'The agent waits for your approval.';
  if (questions.length > 0) return `The agent asks: ${questions[0]?.prompt}`;
  if (status === 'submitted') return 'The agent is thinking.';
  if (status === 'streaming') return 'The agent is writing.';
  const last = messages.at(-1);
  if (status !== 'ready' || last?.role !== 'assistant') return '';
  const text = last.parts.findLast((part) => part.type === 'text')?.text ?? '';
  return `The agent said: ${text}`;
}
