/** What the agent can do in the shop. Effects carry the call's idempotency key, so that a repeated call changes nothing. */
import { tool } from 'ai';
import { FatalError, getToolMetadata } from 'everturn';
import { z } from 'zod';
import type { Shop } from './database.ts';

/** Refunds above this many euros need a person. */
export const APPROVAL_LIMIT = 50;

export interface ToolLog {
  (call: { tool: string; key: string; attempt: number }): void;
}

export function createTools(shop: Shop, log: ToolLog) {
  // Tells that the body of a tool runs; a call that is answered from the record never gets here.
  const begin = (name: string): string => {
    const { idempotencyKey: key, attempt } = getToolMetadata();
    shop.recordToolCall({ tool: name, key, attempt, pid: process.pid });
    log({ tool: name, key, attempt });
    return key;
  };
  return {
    searchOrders: tool({
      description: 'Find orders by item, customer name or number.',
      inputSchema: z.object({ text: z.string() }),
      execute: ({ text }) => {
        begin('searchOrders');
        return { orders: shop.searchOrders(text) };
      },
    }),
    readOrder: tool({
      description: 'Read one order by its number.',
      inputSchema: z.object({ orderId: z.number().int() }),
      execute: ({ orderId }) => {
        begin('readOrder');
        return shop.readOrder(orderId) ?? { error: `There is no order ${orderId}.` };
      },
    }),
    refund: tool({
      description: `Pay money back to the customer's card. Above ${APPROVAL_LIMIT} EUR a colleague has to approve it.`,
      inputSchema: z.object({ orderId: z.number().int(), amount: z.number().positive(), reason: z.string() }),
      execute: ({ orderId, amount, reason }) => {
        const key = begin('refund');
        const order = shop.readOrder(orderId);
        if (order === undefined) throw new FatalError(`Cannot refund order ${orderId}: there is no such order.`);
        if (amount > order.total) return { error: `Order ${orderId} cost only ${order.total.toFixed(2)} EUR.` };
        shop.refund({ orderId, amount, reason }, key);
        return { orderId, refunded: amount, currency: 'EUR' };
      },
    }),
    sendMessage: tool({
      description: 'Send a message to a customer.',
      inputSchema: z.object({ customerId: z.number().int(), text: z.string() }),
      execute: ({ customerId, text }) => {
        shop.sendMessage({ customerId, text }, begin('sendMessage'));
        return { sent: true };
      },
    }),
  };
}
