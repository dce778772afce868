/** What a screen reader says: changes of state, not each token. */
import type { DurableAgentHelpers } from 'everturn/react';
import type { Server } from './server-state.ts';

export function announcementOf({ status, approvals, messages }: DurableAgentHelpers, server: Server): string {
  if (!server.isUp) return 'The server is gone. The answer goes on when it is back.';
  if (approvals.length > 0) return 'The agent waits for your approval.';
  if (status === 'submitted') return 'The agent is thinking.';
  if (status === 'streaming') return 'The agent is writing.';
  const last = messages.at(-1);
  if (status !== 'ready' || last?.role !== 'assistant') return '';
  const text = last.parts.findLast((part) => part.type === 'text')?.text ?? '';
  return `The agent said: ${text}`;
}
