/** The support agent: an AI SDK agent whose large refunds wait for a person. */
import { openai } from '@ai-sdk/openai';
import { DurableAgent } from 'everturn';
import type { OnApprovalRequested } from 'everturn';
import type { Shop } from './database.ts';
import { APPROVAL_LIMIT, createTools } from './tools.ts';
import type { ToolLog } from './tools.ts';

const INSTRUCTIONS = `You are the support agent of a small kitchen shop. Look an order up before you speak about it.
Before you refund anything, tell the customer in about eighty words what you found and what will happen.
Refund what arrived broken, in full, without asking the customer again. Then send the customer a message that
confirms what was done, and end with a short answer. For a late delivery offer a voucher of 10 EUR. What has the wrong colour is
exchanged, and what has to be repaired is picked up by a courier.`;

/** So short that it can be watched. */
const VOUCHER_TIME = '25 seconds';
/** What one run may do before somebody is asked. */
const MOST_TOOL_CALLS = 5;

export function createSupportAgent(
  shop: Shop,
  log: ToolLog,
  options: { onApprovalRequested?: OnApprovalRequested } = {},
) {
  return new DurableAgent({
    model: openai('gpt-5-mini'),
    instructions: INSTRUCTIONS,
    tools: createTools(shop, log),
    toolApproval: {
      refund: ({ amount }) => (amount > APPROVAL_LIMIT ? 'user-approval' : 'approved'),
      giveVoucher: 'user-approval',
    },
    durable: {
      approvals: {
        refund: {
          prompt: ({ orderId, amount }) => `Pay ${amount.toFixed(2)} EUR back for order ${orderId}?`,
          expiresIn: '30 minutes',
        },
        giveVoucher: {
          prompt: ({ orderId, amount }) => `Give a voucher of ${amount.toFixed(2)} EUR for order ${orderId}?`,
          expiresIn: VOUCHER_TIME,
        },
      },
      budget: { toolCalls: MOST_TOOL_CALLS, cheaperModels: { 'gpt-5-nano': openai('gpt-5-nano') } },
      tools: {
        bookCourier: {
          onInDoubt: 'ask',
          describe: ({ orderId, item }) => `A courier for the ${item} of order ${orderId}: was one booked?`,
        },
      },
      ...options,
    },
  });
}
