import { Chat } from '@ai-sdk/react';
import { durableChatTransport } from 'everturn/client';
import { lastAssistantMessageIsCompleteWithApprovalResponses, tool } from 'ai';
import type { UIMessage } from 'ai';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { until } from '../agent/run-kit.ts';
import { held, openRoom, textOf } from './rooms.ts';
import type { Answers, Room } from './rooms.ts';

const LONG = Array.from({ length: 400 }, (_, index) => `word${index}`).join(' ');

const rooms: Room[] = [];
afterEach(async () => {
  for (const room of rooms.splice(0)) await room.close();
});

async function enter(...options: Parameters<typeof openRoom>): Promise<Room> {
  const room = await openRoom(...options);
  rooms.push(room);
  return room;
}

/** Waits are short: these tests use real time. */
const environment = { random: () => 0.02 };

function chatOf(room: Room, options: Partial<ConstructorParameters<typeof Chat<UIMessage>>[0]> = {}): Chat<UIMessage> {
  return new Chat<UIMessage>({ id: 't1', transport: durableChatTransport({ api: room.api, environment }), ...options });
}

function refundAgent({ hold }: { hold?: Promise<void> } = {}): {
  answers: Answers;
  settings: Parameters<typeof openRoom>[1];
  refunded: unknown[];
} {
  const refunded: unknown[] = [];
  const refund = tool({
    inputSchema: z.object({ amount: z.number() }),
    execute: async (input) => {
      refunded.push(input);
      await hold;
      return 'done';
    },
  });
  const answers: Answers = [
    { text: 'A moment', calls: [{ id: 'c1', name: 'refund', input: { amount: 5 } }] },
    { text: 'Refunded' },
  ];
  return { answers, refunded, settings: { tools: { refund }, toolApproval: { refund: 'user-approval' } } };
}

describe('a chat over connections that break', () => {
  it('shows each word once though every connection is reset after some bytes', async () => {
    const room = await enter([{ text: LONG }]);
    let cuts = 0;
    room.proxy.cutAfter = () => {
      cuts += 1;
      return cuts > 40 ? Infinity : 900 + ((cuts * 577) % 1_500);
    };
    const chat = chatOf(room);
    await chat.sendMessage({ text: 'go' });
    expect([chat.status, chat.error]).toEqual(['ready', undefined]);
    expect(textOf(chat.messages[1])).toBe(LONG);
    expect(chat.messages).toEqual(await room.stored('t1'));
    expect(cuts).toBeGreaterThan(10);
  });

  it('goes on in the same message when the server is another process', async () => {
    const { hold } = held();
    const room = await enter([{ text: 'The first words', hold }]);
    const chat = chatOf(room);
    const sending = chat.sendMessage({ text: 'go' });
    await until(() => textOf(chat.messages[1]) === 'The first words');
    await room.restart([{ text: 'What the second process says' }]);
    await sending;
    expect([chat.status, chat.error]).toEqual(['ready', undefined]);
    expect(textOf(chat.messages[1])).toBe('What the second process says');
    expect(chat.messages).toEqual(await room.stored('t1'));
  });

  it('sends a message while nobody listens, once', async () => {
    const room = await enter([{ text: 'Hello' }]);
    const { target } = room.proxy;
    room.proxy.target = undefined;
    const chat = chatOf(room);
    const sending = chat.sendMessage({ text: 'go' });
    await until(() => room.proxy.made() >= 3);
    room.proxy.target = target;
    await sending;
    expect(textOf(chat.messages[1])).toBe('Hello');
    expect(await room.stored('t1')).toHaveLength(2);
  });
});

describe('a resume', () => {
  it('of an answer that history left out brings it, though it has ended meanwhile', async () => {
    const { hold, release } = held();
    const room = await enter([{ text: 'some words', hold }]);
    const first = chatOf(room);
    const sending = first.sendMessage({ text: 'go' });
    await until(() => textOf(first.messages[1]) === 'some words');
    const transport = durableChatTransport({ api: room.api, environment });
    const { messages } = await transport.history('t1');
    expect(messages.map(({ role }) => role)).toEqual(['user']);
    release();
    await sending;
    const chat = chatOf(room, { transport, messages });
    await chat.resumeStream();
    expect(chat.messages).toEqual(await room.stored('t1'));
    expect(textOf(chat.messages[1])).toBe('some words');
    // Once it was brought, there is nothing to resume.
    expect(await transport.reconnectToStream({ chatId: 't1' })).toBeNull();
  });

  it('that is taken back at once, as StrictMode does, asks for nothing', async () => {
    const { hold, release } = held();
    const room = await enter([{ text: 'some words', hold }]);
    const first = chatOf(room);
    const sending = first.sendMessage({ text: 'go' });
    await until(() => textOf(first.messages[1]) === 'some words');
    let asked = 0;
    const fetch: typeof globalThis.fetch = (input, init) => {
      asked += 1;
      return globalThis.fetch(input, init);
    };
    const chat = chatOf(room, { transport: durableChatTransport({ api: room.api, environment, fetch }) });
    const readings = [chat.resumeStream(), chat.resumeStream()];
    await until(() => textOf(chat.messages[0]) === 'some words');
    expect(asked).toBe(1);
    release();
    await Promise.all([...readings, sending]);
    expect([chat.status, chat.error]).toEqual(['ready', undefined]);
  });
});

describe('stop', () => {
  it('ends the run and the response, with what there was; the next message works', async () => {
    const { hold } = held();
    const room = await enter([{ text: 'some words', hold }, { text: 'Again' }]);
    const transport = durableChatTransport({ api: room.api, environment });
    const chat = chatOf(room, { transport });
    const sending = chat.sendMessage({ text: 'go' });
    await until(() => textOf(chat.messages[1]) === 'some words');
    await transport.stop('t1');
    await sending;
    expect(chat.status).toBe('ready');
    expect(textOf((await room.stored('t1'))[1])).toBe('some words');
    await chat.sendMessage({ text: 'and now' });
    expect(textOf(chat.messages[3])).toBe('Again');
  });

  it("by the chat's own stop is a disconnect: the run goes on", async () => {
    const { hold, release } = held();
    const room = await enter([{ text: 'some words', hold }]);
    const chat = chatOf(room);
    const sending = chat.sendMessage({ text: 'go' });
    await until(() => textOf(chat.messages[1]) === 'some words');
    await chat.stop();
    await sending;
    release();
    await until(async () => (await room.runtime().thread('t1')).active === null);
    expect(await room.stored('t1')).toEqual(chat.messages.map((each) => expect.objectContaining({ id: each.id })));
    expect(room.proxy.openPaths()).not.toContain('/api/chat');
  });

  it('of a run that somebody else reads resolves when it has ended', async () => {
    const { answers, settings } = refundAgent();
    const room = await enter(answers, settings);
    await chatOf(room).sendMessage({ text: 'refund me' });
    await durableChatTransport({ api: room.api, environment }).stop('t1');
    expect((await room.runtime().thread('t1')).active).toBeNull();
  });
});

describe('approvals', () => {
  it('are answered by the chat, and the answer comes in the same message', async () => {
    const { answers, settings, refunded } = refundAgent();
    const room = await enter(answers, settings);
    const chat = chatOf(room, { sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses });
    await chat.sendMessage({ text: 'refund me' });
    expect(chat.status).toBe('ready');
    await chat.addToolApprovalResponse({ id: approvalOf(chat), approved: true });
    await until(() => chat.status === 'ready' && textOf(chat.messages[1]).endsWith('Refunded'));
    expect(refunded).toEqual([{ amount: 5 }]);
    expect(chat.messages).toHaveLength(2);
  });

  it('of a response that was left are read on: nothing of the message stands twice', async () => {
    const { hold, release } = held();
    const { answers, settings, refunded } = refundAgent({ hold });
    const room = await enter(answers, settings);
    const chat = chatOf(room, { sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses });
    await chat.sendMessage({ text: 'refund me' });
    await chat.addToolApprovalResponse({ id: approvalOf(chat), approved: true });
    await until(() => refunded.length === 1);
    await chat.stop();
    const reading = chat.resumeStream();
    release();
    await reading;
    expect(textOf(chat.messages[1])).toBe('A momentRefunded');
    expect(chat.messages).toHaveLength(2);
  });

  it('are edited: the tool runs with the new input', async () => {
    const { answers, settings, refunded } = refundAgent();
    const room = await enter(answers, settings);
    const transport = durableChatTransport({ api: room.api, environment });
    const chat = chatOf(room, { transport });
    await chat.sendMessage({ text: 'refund me' });
    await transport.approve(approvalOf(chat), { input: { amount: 3 } });
    await until(async () => (await room.runtime().thread('t1')).active === null);
    expect(refunded).toEqual([{ amount: 3 }]);
    await expect(transport.deny(approvalOf(chat))).rejects.toMatchObject({ code: 'approval_decided' });
  });
});

function approvalOf(chat: Chat<UIMessage>): string {
  for (const part of chat.messages[1]?.parts ?? []) {
    if ('approval' in part && part.approval !== undefined) return part.approval.id;
  }
  throw new Error('Nothing waits for an approval.');
}
