import { DurableAgent } from 'everturn';
import { WorkflowChatTransport } from '@ai-sdk/workflow/client';
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses, tool } from 'ai';
import type { ChatTransport, UIMessage } from 'ai';
import { AbstractChat } from 'ai';
import type { ChatInit, ChatState } from 'ai';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { scriptedModel, until } from '../agent/run-kit.ts';
import { overBothWays } from './kit.ts';
import type { Site } from './kit.ts';

/** What `useChat` keeps, without React. */
class Chat extends AbstractChat<UIMessage> {
  constructor(init: ChatInit<UIMessage>) {
    const state: ChatState<UIMessage> = {
      status: 'ready',
      error: undefined,
      messages: init.messages ?? [],
      pushMessage: (message) => void (state.messages = [...state.messages, message]),
      popMessage: () => void (state.messages = state.messages.slice(0, -1)),
      replaceMessage: (index, message) => void (state.messages = state.messages.with(index, structuredClone(message))),
      snapshot: (value) => structuredClone(value),
    };
    super({ ...init, state });
  }
}

type MakeTransport = (site: Site) => ChatTransport<UIMessage>;

const transports: Array<[string, MakeTransport]> = [
  ['DefaultChatTransport', (site) => new DefaultChatTransport({ api: `${site.api}/chat`, fetch: site.fetch })],
  [
    'WorkflowChatTransport',
    // As a page sends it: text without a JSON type, with the page's Origin.
    (site) =>
      new WorkflowChatTransport({
        api: `${site.api}/chat`,
        fetch: (input, init) => {
          const { origin } = new URL(site.api);
          const type = init?.method === 'POST' ? { 'content-type': 'text/plain;charset=UTF-8' } : {};
          return site.fetch(input, { ...init, headers: { ...type, origin } });
        },
      }) as ChatTransport<UIMessage>,
  ],
];

function shownText(message: UIMessage | undefined): string {
  return (message?.parts ?? []).map((part) => (part.type === 'text' ? part.text : '')).join('');
}

describe.each(transports)('%s', (_, makeTransport) => {
  overBothWays('a stock chat', (open) => {
    it('talks twice, and the second answer knows the first', async () => {
      const { model, prompts } = scriptedModel([{ text: 'One' }, { text: 'Two' }]);
      const site = await open({ agents: { support: new DurableAgent({ model }) } });
      const chat = new Chat({ id: 'chat-1', transport: makeTransport(site) });
      await chat.sendMessage({ text: 'first' });
      await chat.sendMessage({ text: 'second' });
      expect(chat.error).toBeUndefined();
      expect(chat.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant']);
      expect(shownText(chat.messages[3])).toBe('Two');
      expect(JSON.stringify(prompts[1])).toContain('One');
      expect(prompts[1]).toHaveLength(3);
    });

    it('answers an approval by itself when the person has decided, in the same message', async () => {
      const { model } = scriptedModel([
        { text: 'A moment', calls: [{ id: 'c1', name: 'refund', input: { amount: 5 } }] },
        { text: 'Refunded' },
      ]);
      const amounts: number[] = [];
      const refund = tool({
        inputSchema: z.object({ amount: z.number() }),
        execute: ({ amount }) => {
          amounts.push(amount);
          return 'done';
        },
      });
      const agent = new DurableAgent({ model, tools: { refund }, toolApproval: { refund: 'user-approval' } });
      const site = await open({ agents: { support: agent } });
      const chat = new Chat({
        id: 'chat-1',
        transport: makeTransport(site),
        sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
      });
      await chat.sendMessage({ text: 'refund me' });
      const part = chat.messages[1]?.parts.find((each) => each.type === 'tool-refund') as unknown as {
        state: string;
        approval: { id: string };
      };
      expect([chat.status, part.state]).toEqual(['ready', 'approval-requested']);
      await chat.addToolApprovalResponse({ id: part.approval.id, approved: true });
      await until(() => chat.status === 'ready' && shownText(chat.messages[1]).endsWith('Refunded'));
      expect(chat.messages).toHaveLength(2);
      expect(amounts).toEqual([5]);
    });

    it('goes on after a page was opened again in mid-answer', async () => {
      let release = (): void => {};
      const hold = new Promise<void>((resolve) => (release = resolve));
      const { model } = scriptedModel([{ text: 'one two three', hold }]);
      const site = await open({ agents: { support: new DurableAgent({ model }) } });
      const first = new Chat({
        id: 'chat-1',
        transport: new DefaultChatTransport({ api: `${site.api}/chat`, fetch: site.fetch }),
      });
      const sending = first.sendMessage({ text: 'go' });
      await until(() => shownText(first.messages[1]) === 'one two three');
      const history = (await (await site.fetch(`${site.api}/chat/chat-1`)).json()) as { messages: UIMessage[] };
      expect(history.messages).toHaveLength(1);
      const second = new Chat({ id: 'chat-1', messages: history.messages, transport: makeTransport(site) });
      const resuming = second.resumeStream();
      await until(() => shownText(second.messages[1]) === 'one two three');
      release();
      await Promise.all([sending, resuming]);
      expect(second.messages).toEqual(first.messages);
      expect(second.status).toBe('ready');
    });

    it('resumes nothing on a new chat', async () => {
      const { model } = scriptedModel([]);
      const site = await open({ agents: { support: new DurableAgent({ model }) } });
      const chat = new Chat({ id: 'new', transport: makeTransport(site) });
      await chat.resumeStream();
      expect([chat.status, chat.error, chat.messages]).toEqual(['ready', undefined, []]);
    });

    it('generates the answer again', async () => {
      const { model } = scriptedModel([{ text: 'One' }, { text: 'Another' }]);
      const site = await open({ agents: { support: new DurableAgent({ model }) } });
      const chat = new Chat({ id: 'chat-1', transport: makeTransport(site) });
      await chat.sendMessage({ text: 'first' });
      if (makeTransport === transports[0]?.[1]) {
        await chat.regenerate();
        expect(chat.messages).toHaveLength(2);
        expect(shownText(chat.messages[1])).toBe('Another');
      } else {
        // It sends no trigger and no id: what arrives is the same message again.
        await chat.regenerate();
        expect(shownText(chat.messages.at(-1))).toBe('One');
      }
    });
  });
});

overBothWays('WorkflowChatTransport', (open) => {
  it('reconnects by itself after each cut, and joins the pieces', async () => {
    const text = Array.from({ length: 30 }, (_, index) => `w${index}`).join(' ');
    const { model } = scriptedModel([{ text }]);
    const site = await open({ agents: { support: new DurableAgent({ model }) } });
    const urls: string[] = [];
    const cutting: typeof fetch = async (input, init) => {
      urls.push(input instanceof Request ? input.url : input.toString());
      const response = await site.fetch(input, init);
      return new Response(response.body === null ? null : cutAfter(response.body, 7), response);
    };
    const transport = new WorkflowChatTransport({ api: `${site.api}/chat`, fetch: cutting });
    const chat = new Chat({ id: 'chat-1', transport: transport as ChatTransport<UIMessage> });
    await chat.sendMessage({ text: 'go' });
    expect(shownText(chat.messages[1])).toBe(text);
    expect(urls.length).toBeGreaterThan(4);
    expect(urls[1]).toMatch(/\/chat\/run_[0-9a-f]+~0\/stream\?startIndex=7$/);
  });

  it('reads from the tail: the whole of the last step, and the position is true', async () => {
    const { model } = scriptedModel([
      { calls: [{ id: 'c1', name: 'look', input: {} }] },
      { text: 'alpha beta gamma delta' },
    ]);
    const look = tool({ inputSchema: z.object({}), execute: () => 'seen' });
    const site = await open({ agents: { support: new DurableAgent({ model, tools: { look } }) } });
    const all = new DefaultChatTransport({ api: `${site.api}/chat`, fetch: site.fetch });
    await new Chat({ id: 'chat-1', transport: all }).sendMessage({ text: 'go' });
    const transport = new WorkflowChatTransport({ api: `${site.api}/chat`, fetch: site.fetch, initialStartIndex: -3 });
    const ends: number[] = [];
    const counting = new WorkflowChatTransport({
      api: `${site.api}/chat`,
      fetch: site.fetch,
      initialStartIndex: -3,
      onChatEnd: ({ chunkIndex }) => void ends.push(chunkIndex),
    });
    const chat = new Chat({ id: 'chat-1', transport: transport as ChatTransport<UIMessage> });
    await chat.resumeStream();
    expect(shownText(chat.messages[0])).toBe('alpha beta gamma delta');
    await new Chat({ id: 'chat-1', transport: counting as ChatTransport<UIMessage> }).resumeStream();
    const [run] = (await site.runtime.list({})).items;
    const { tail } = await site.runtime.streams.page({ run: run?.id ?? '', stream: 'default', from: 1_000 });
    expect(ends).toEqual([tail]);
  });
});

/** The first `count` frames with data, then a broken connection. */
function cutAfter(body: ReadableStream<Uint8Array>, count: number): ReadableStream<Uint8Array> {
  let left = count;
  let rest = '';
  const decoder = new TextDecoder();
  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(bytes, controller) {
        rest += decoder.decode(bytes, { stream: true });
        const blocks = rest.split('\n\n');
        rest = blocks.pop() ?? '';
        for (const block of blocks) {
          controller.enqueue(new TextEncoder().encode(`${block}\n\n`));
          if (!block.includes('data: ')) continue;
          left -= 1;
          if (left === 0) {
            controller.terminate();
            return;
          }
        }
      },
    }),
  );
}
