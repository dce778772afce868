/** The demo's conversation: a customer wants money back, the agent looks, refunds (if it may) and tells the customer. */
import type { Conversation, ToolResult } from './conversation.ts';
import type { Reply, Scenario } from './scenarios.ts';

/** Follows the tool results, not the turn's number: what is known decides what comes next. */
export const supportScenario: Scenario = {
  name: 'support',
  matches: (conversation) =>
    /refund|money back|order\s+#?\d+|arrived broken|return (it|them|this)/i.test(conversation.userText) &&
    conversation.tools.some((tool) => tool.name === 'refund'),
  replies: (conversation) => {
    const order = knownOrder(conversation);
    if (!order) return conversation.turn === 0 ? lookUp(conversation) : { text: notFound };
    const refund = resultOf(conversation, 'refund');
    if (!refund) return askForRefund(conversation, order);
    if (!succeeded(refund)) return { text: apology(order) };
    if (!resultOf(conversation, 'sendMessage')) return tellCustomer(order, refund);
    return { text: closing(order, refund) };
  },
};

interface Order {
  id: number;
  customerId: number;
  total: number;
  item: string;
}

const notFound =
  'I am sorry, but I cannot find an order that fits what you describe. Could you send me the order number? It stands at the top ' +
  'of the confirmation that we mailed to you, and it has four digits.';

function lookUp({ userText }: Conversation): Reply {
  const orderId = orderNumber(userText);
  const call =
    orderId === undefined
      ? { name: 'searchOrders', arguments: { text: userText } }
      : { name: 'readOrder', arguments: { orderId } };
  return { text: 'I am sorry to hear that. Let me look at your order first.', toolCalls: [call] };
}

function askForRefund({ userText }: Conversation, order: Order): Reply {
  const text =
    `I have found it. This is what I see in order ${order.id}:\n\n` +
    `- the ${order.item}, paid with ${euros(order.total)}\n` +
    '- delivered within the last thirty days, so our guarantee covers it\n' +
    '- you do not have to send the broken one back; please recycle it where you live\n\n' +
    `I am going to ask for a refund of the full ${euros(order.total)} to the card that you paid with. An amount like this is looked at by a colleague ` +
    'before the money leaves, which can take a while. You need not wait here: as soon as it is decided I will write to you with the result.';
  const refund = { orderId: order.id, amount: order.total, reason: reasonIn(userText) };
  return { text, toolCalls: [{ name: 'refund', arguments: refund }] };
}

function tellCustomer(order: Order, refund: ToolResult): Reply {
  const amount = euros(paidBack(order, refund));
  const text = `We have refunded ${amount} for order ${order.id} (${order.item}). The money will be on your card within five days.`;
  const message = { customerId: order.customerId, text };
  return {
    text: 'The refund went through. I am sending you a confirmation.',
    toolCalls: [{ name: 'sendMessage', arguments: message }],
  };
}

function closing(order: Order, refund: ToolResult): string {
  return (
    `It is done: ${euros(paidBack(order, refund))} for the ${order.item} of order ${order.id} are on their way back to your card, and a ` +
    'confirmation is in your mailbox. I am sorry for the trouble, and I hope the next one reaches you in one piece.'
  );
}

function apology(order: Order): string {
  return (
    `I am sorry: the refund of ${euros(order.total)} for order ${order.id} was not approved. What I can offer instead is a new ${order.item} ` +
    'free of charge, a repair at our workshop, or a voucher over the same amount. Tell me which of these you would like, and I will arrange it today.'
  );
}

function knownOrder({ toolResults }: Conversation): Order | undefined {
  const found = toolResults.findLast((result) => result.name === 'readOrder' || result.name === 'searchOrders');
  const id = numberIn(found?.value, /^(order_?id|id)$/i);
  if (!found || id === undefined) return undefined;
  return {
    id,
    customerId: numberIn(found.value, /^customer_?id$/i) ?? 0,
    total: numberIn(found.value, /^(total|amount|price)$/i) ?? 0,
    item: textIn(found.value, /^(item|product|title|article)(_?name)?$/i) ?? 'item',
  };
}

function resultOf({ toolResults }: Conversation, name: string): ToolResult | undefined {
  return toolResults.findLast((result) => result.name === name);
}

// A denial reaches the model as plain text, a failed tool as { error }; a refund that went through as its record.
function succeeded({ value, output }: ToolResult): boolean {
  return typeof value === 'object' && value !== null && !('error' in value) && !/denied/i.test(output);
}

// The person who approves may have changed the amount.
function paidBack(order: Order, refund: ToolResult): number {
  return numberIn(refund.value, /^(amount|refunded)$/i) ?? numberIn(refund.arguments, /^amount$/i) ?? order.total;
}

function orderNumber(text: string): number | undefined {
  const digits = /\b(\d{3,})\b/.exec(text)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function reasonIn(text: string): string {
  return /arrived [^,.!]+|broken[^,.!]*|damaged[^,.!]*/i.exec(text)?.[0] ?? text.slice(0, 80);
}

function euros(amount: number): string {
  return `${amount.toFixed(2)} EUR`;
}

function numberIn(value: unknown, name: RegExp): number | undefined {
  return fieldsOf(value).find(([key, field]) => name.test(key) && typeof field === 'number')?.[1] as number | undefined;
}

function textIn(value: unknown, name: RegExp): string | undefined {
  return fieldsOf(value).find(([key, field]) => name.test(key) && typeof field === 'string')?.[1] as string | undefined;
}

// All fields at any depth, outer ones first: the tools' results are records, lists, or records with lists in them.
function fieldsOf(value: unknown): [string, unknown][] {
  if (typeof value !== 'object' || value === null) return [];
  const own = Object.entries(value);
  return [...own, ...own.flatMap(([, field]) => fieldsOf(field))];
}
