/** The rest of what the demo's customers ask for: a voucher, another colour, a courier. */
import type { Conversation, ToolResult } from './conversation.ts';
import type { Reply, Scenario } from './scenarios.ts';

interface Order {
  id: number;
  item: string;
}

interface Flow {
  name: string;
  /** The tool that the flow is about. */
  tool: string;
  asks: RegExp;
  /** What is said before the tool is called, and what it is called with. */
  begin: (order: Order) => { text: string; input: object };
  end: (order: Order, result: ToolResult) => string;
}

export const serviceScenarios: readonly Scenario[] = [
  toScenario({
    name: 'voucher',
    tool: 'giveVoucher',
    asks: /voucher|late\b/i,
    begin: ({ id, item }) => ({
      text:
        `You are right: the ${item} of order ${id} was promised within three days and took ten. I would like to make up for it with a voucher. ` +
        'A colleague has to agree, and is asked now.',
      input: { orderId: id, amount: 10, reason: 'It came ten days late.' },
    }),
    end: (_, { value, output }) => {
      if (isDone(value))
        return `Here it is: your voucher has the number ${fieldOf(value, 'voucher')} and counts for your next order. Thank you for your patience.`;
      return /time|expired/i.test(output)
        ? 'I am sorry: my colleagues are busy, and nobody has answered in time. Nobody has said no, though. Ask me again whenever you like, and I will ask them again.'
        : 'I am sorry: my colleague does not agree to a voucher this time. I have noted that the delivery was late.';
    },
  }),
  toScenario({
    name: 'exchange',
    tool: 'exchange',
    asks: /exchange|colou?r/i,
    begin: ({ id, item }) => ({
      text: `Of course. You need not send the ${item} of order ${id} back. I only need to know which colour you would like.`,
      input: { orderId: id, item },
    }),
    end: ({ item }, { value }) =>
      isDone(value)
        ? `Done: a new ${item} in ${fieldOf(value, 'colour')} leaves our house today, as parcel ${fieldOf(value, 'parcel')}.`
        : `I am sorry, I could not send a new ${item}. Please try again.`,
  }),
  toScenario({
    name: 'courier',
    tool: 'bookCourier',
    asks: /picked up|pick (it|them|this) up|courier/i,
    begin: ({ id, item }) => ({
      text: `I will have the ${item} of order ${id} picked up for repair. Booking the courier takes a few seconds: this is the moment to kill the server.`,
      input: { orderId: id, item },
    }),
    end: ({ item }, { value }) =>
      isDone(value)
        ? `Courier ${fieldOf(value, 'courier')} comes tomorrow between nine and twelve to pick up the ${item}. You will have it back within two weeks.`
        : `I cannot say yet whether a courier is booked for the ${item}: our system was interrupted just then, and I do not want to send you two. A colleague is looking into it and will write to you.`,
  }),
  {
    name: 'orders',
    matches: ({ userText, tools }) =>
      /each of them|one by one/i.test(userText) && tools.some(({ name }) => name === 'readOrder'),
    replies: readEach,
  },
];

/** One after the other, and a list of them in the end. */
function readEach({ userText, toolResults }: Conversation): Reply {
  const [first = 1101, last = 1108] = [...userText.matchAll(/\b\d{4}\b/g)].map(Number);
  const next = first + toolResults.length;
  if (next <= last) {
    const text = toolResults.length === 0 ? `I am going to look at all ${last - first + 1} of them, one by one.` : '';
    return { ...(text === '' ? {} : { text }), toolCalls: [{ name: 'readOrder', arguments: { orderId: next } }] };
  }
  const lines = toolResults.map(
    ({ value }) => `- order ${fieldOf(value, 'id')}, ${fieldOf(value, 'item')}: ${fieldOf(value, 'status')}`,
  );
  return { text: ['Here is what I see:', '', ...lines].join('\n') };
}

/** Looks the order up, calls the tool, and says what came of it. */
function toScenario({ name, tool, asks, begin, end }: Flow): Scenario {
  return {
    name,
    matches: ({ userText, tools }) => asks.test(userText) && tools.some((each) => each.name === tool),
    replies: (conversation) => {
      const found = resultOf(conversation, 'readOrder');
      if (found === undefined) return lookUp(conversation);
      const order = { id: Number(fieldOf(found.value, 'id')), item: fieldOf(found.value, 'item') };
      const result = resultOf(conversation, tool);
      if (result !== undefined) return { text: end(order, result) };
      const { text, input } = begin(order);
      return { text, toolCalls: [{ name: tool, arguments: input }] };
    },
  };
}

function lookUp({ userText }: Conversation): Reply {
  const orderId = Number(/\b(\d{4})\b/.exec(userText)?.[1] ?? 1042);
  return { text: 'Let me look at your order first.', toolCalls: [{ name: 'readOrder', arguments: { orderId } }] };
}

function resultOf({ toolResults }: Conversation, name: string): ToolResult | undefined {
  return toolResults.findLast((result) => result.name === name);
}

/** A denial and an error reach the model as text. */
function isDone(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !('error' in value);
}

function fieldOf(value: unknown, name: string): string {
  return typeof value === 'object' && value !== null ? String((value as Record<string, unknown>)[name]) : '';
}
