/** What the agent can do in the shop. Effects carry the call's idempotency key, so that a repeated call changes nothing. */
import { setTimeout as delay } from 'node:timers/promises';
import { tool } from 'ai';
import { ask, FatalError, getToolMetadata } from 'everturn';
import { z } from 'zod';
import type { Shop } from './database.ts';

/** How long a courier's company takes to book one, so that there is time to kill the server meanwhile. */
const COURIER_MS = 6_000;

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
    giveVoucher: tool({
      description:
        'Give the customer a voucher, for instance for a late delivery. A colleague has to approve it in time.',
      inputSchema: z.object({ orderId: z.number().int(), amount: z.number().positive(), reason: z.string() }),
      execute: ({ orderId, amount }) => {
        const detail = `${amount.toFixed(2)} EUR`;
        return { voucher: shop.book({ kind: 'voucher', orderId, detail }, begin('giveVoucher')), amount };
      },
    }),
    exchange: tool({
      description: 'Send the same item in another colour. It asks the customer which one.',
      inputSchema: z.object({ orderId: z.number().int(), item: z.string() }),
      execute: async ({ orderId, item }) => {
        const key = begin('exchange');
        const colour = await ask({
          prompt: `Which colour shall the new ${item} have?`,
          options: ['sand', 'moss green', 'night blue'],
        });
        return { parcel: shop.book({ kind: 'parcel', orderId, detail: `${item}, ${colour}` }, key), colour };
      },
    }),
    bookCourier: tool({
      description: 'Have a courier pick an order up. Takes a few seconds.',
      inputSchema: z.object({ orderId: z.number().int(), item: z.string() }),
      outputSchema: z.object({ courier: z.string() }),
      execute: async ({ orderId, item }) => {
        const key = begin('bookCourier');
        // The courier comes from here on, and nobody here knows it until the answer is back.
        await delay(COURIER_MS / 2);
        const courier = shop.book({ kind: 'courier', orderId, detail: item }, key);
        await delay(COURIER_MS / 2);
        return { courier };
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
