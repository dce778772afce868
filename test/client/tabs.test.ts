import { ask } from 'everturn';
import { manualClock } from 'everturn/testing';
import type { ManualClock } from 'everturn/testing';
import { tool } from 'ai';
import type { UIMessage } from 'ai';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createAgentApi } from '../../src/client/agent-api.ts';
import { AgentThread } from '../../src/react/agent-thread.ts';
import type { AgentThreadEvents, AgentThreadOptions } from '../../src/react/agent-thread.ts';
import type { Tabs } from '../../src/react/tabs.ts';
import { openThreadLink } from '../../src/react/thread-link.ts';
import { until } from '../agent/run-kit.ts';
import { held, openRoom, textOf } from './rooms.ts';
import type { Answers, Room } from './rooms.ts';

const closing: Array<() => void | Promise<void>> = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function enter(...options: Parameters<typeof openRoom>): Promise<Room> {
  const room = await openRoom(...options);
  closing.push(() => room.close());
  return room;
}

interface Tab {
  thread: AgentThread;
  close(): void;
  text(): string[];
}

let ids = 0;

/** What a page has; the locks and channels are the platform's. */
function openTab(room: Room, options: Partial<AgentThreadOptions> = {}, events: AgentThreadEvents = {}): Tab {
  const thread = new AgentThread(
    't1',
    {
      api: room.api,
      generateId: () => `m${(ids += 1)}`,
      environment: { random: () => (ids += 1) / 1_000_003 },
      ...options,
    },
    () => events,
  );
  const close = thread.hold();
  closing.push(close);
  return { thread, close, text: () => thread.snapshot().messages.map(textOf) };
}

const shows = (tab: Tab, ...texts: string[]): Promise<unknown> =>
  until(() => JSON.stringify(tab.text()) === JSON.stringify(texts));
const hasStatus = (tab: Tab, status: string): Promise<unknown> => until(() => tab.thread.snapshot().status === status);
const isIdle = (tab: Tab): Promise<unknown> =>
  until(() => tab.thread.snapshot().isLoaded && tab.thread.snapshot().run === null);

function refunds(): { answers: Answers; settings: Parameters<typeof openRoom>[1]; refunded: unknown[] } {
  const refunded: unknown[] = [];
  const refund = tool({
    inputSchema: z.object({ amount: z.number().max(100) }),
    execute: ({ amount }) => {
      refunded.push(amount);
      return `refunded ${amount}`;
    },
  });
  const answers: Answers = [
    { text: 'A moment. ', calls: [{ id: 'c1', name: 'refund', input: { amount: 5 } }] },
    { text: 'Done.' },
  ];
  return { answers, refunded, settings: { tools: { refund }, toolApproval: { refund: 'user-approval' } } };
}

describe('a tab', () => {
  it('shows what it sends at once, then the answer, and nothing else than what is stored', async () => {
    const room = await enter([{ text: 'Good day' }, { text: 'Again' }]);
    const tab = openTab(room);
    const sent = tab.thread.send({ text: 'Hello' });
    expect(tab.thread.snapshot()).toMatchObject({ status: 'submitted', isLoaded: false });
    await until(() => tab.text()[0] === 'Hello');
    await sent;
    await shows(tab, 'Hello', 'Good day');
    await hasStatus(tab, 'ready');
    await tab.thread.send({ text: 'And?' });
    await shows(tab, 'Hello', 'Good day', 'And?', 'Again');
    await isIdle(tab);
    expect(tab.thread.snapshot().messages).toEqual(await room.stored('t1'));
  });

  it('that opens in mid-answer shows all of it', async () => {
    const { hold, release } = held();
    const room = await enter([{ text: 'some words', hold }]);
    const first = openTab(room);
    await first.thread.send({ text: 'go' });
    await shows(first, 'go', 'some words');
    first.close();
    const second = openTab(room);
    await shows(second, 'go', 'some words');
    expect(second.thread.snapshot().status).toBe('streaming');
    release();
    await isIdle(second);
    expect(second.thread.snapshot().messages).toEqual(await room.stored('t1'));
  });

  it('says what is waited for right after a reload; an edit runs with what was approved', async () => {
    const { answers, settings, refunded } = refunds();
    const room = await enter(answers, settings);
    const first = openTab(room);
    await first.thread.send({ text: 'refund me' });
    await hasStatus(first, 'waiting');
    first.close();
    const second = openTab(room);
    await until(() => second.thread.snapshot().isLoaded);
    const { status, waits } = second.thread.snapshot();
    expect(status).toBe('waiting');
    expect(waits).toMatchObject([{ kind: 'approval', tool: 'refund', input: { amount: 5 }, question: 'execute' }]);
    const id = waits[0]?.kind === 'approval' ? waits[0].approvalId : '';
    await expect(second.thread.decide(id, { approved: true, input: { amount: 500 } })).rejects.toMatchObject({
      code: 'payload_invalid',
    });
    await second.thread.decide(id, { approved: true, input: { amount: 3 } });
    await shows(second, 'refund me', 'A moment. Done.');
    await isIdle(second);
    expect(refunded).toEqual([3]);
    expect(second.thread.snapshot().messages).toEqual(await room.stored('t1'));
    await expect(second.thread.decide(id, { approved: false })).rejects.toMatchObject({ code: 'approval_decided' });
  });

  it('queues, steers and is refused', async () => {
    const { hold, release } = held();
    const room = await enter([{ text: 'One', hold }, { text: 'Two' }, { text: 'Three' }]);
    const errors: Error[] = [];
    const tab = openTab(room, {}, { onError: (error) => errors.push(error) });
    await tab.thread.send({ text: 'first' });
    await shows(tab, 'first', 'One');
    await tab.thread.send({ text: 'later' }, { whenBusy: 'queue' });
    expect(tab.thread.snapshot().queued.map(({ message }) => textOf(message))).toEqual(['later']);
    await tab.thread.send({ text: 'no' });
    expect(errors).toMatchObject([{ code: 'thread_busy' }]);
    expect(tab.thread.snapshot()).toMatchObject({ status: 'error' });
    expect(tab.text()).toEqual(['first', 'One', 'no']);
    tab.thread.clearError();
    expect(tab.text()).toEqual(['first', 'One']);
    await tab.thread.send({ text: 'by the way' }, { whenBusy: 'steer' });
    release();
    await until(async () => (await room.runtime().thread('t1')).active === null && tab.text().at(-1) === 'Three');
    await isIdle(tab);
    expect(tab.thread.snapshot().queued).toEqual([]);
    expect(tab.thread.snapshot().messages).toEqual(await room.stored('t1'));
  });

  it('tells who said what, live, in the queue and after a reload', async () => {
    const { hold, release } = held();
    const room = await enter([{ text: 'One', hold }, { text: 'Two' }]);
    const [ann, bo] = ['ann', 'bo'].map((user) => openTab(room, { tabs: 'own', headers: { 'x-user': user } }));
    if (ann === undefined || bo === undefined) throw new Error('no tabs');
    await ann.thread.send({ id: 'a1', parts: [{ type: 'text', text: 'first' }] });
    await shows(bo, 'first', 'One');
    await bo.thread.send({ id: 'b1', parts: [{ type: 'text', text: 'later' }] }, { whenBusy: 'queue' });
    const authors = { a1: 'ann', b1: 'bo' };
    await until(() => ann.thread.snapshot().queued.length === 1);
    expect(ann.thread.snapshot().authors).toEqual(authors);
    release();
    await shows(ann, 'first', 'One', 'later', 'Two');
    await isIdle(ann);
    expect(ann.thread.snapshot().authors).toEqual(authors);
    const reloaded = openTab(room, { tabs: 'own' });
    await isIdle(reloaded);
    expect(reloaded.thread.snapshot().authors).toEqual(authors);
  });

  it('takes a queued message back', async () => {
    const { hold, release } = held();
    const room = await enter([{ text: 'One', hold }]);
    const tab = openTab(room);
    await tab.thread.send({ text: 'first' });
    await shows(tab, 'first', 'One');
    await tab.thread.send({ id: 'q1', parts: [{ type: 'text', text: 'later' }] }, { whenBusy: 'queue' });
    await until(() => tab.thread.snapshot().queued[0]?.runId !== null);
    await tab.thread.removeQueued('q1');
    await until(() => tab.thread.snapshot().queued.length === 0);
    release();
    await isIdle(tab);
    await until(async () => JSON.stringify(tab.thread.snapshot().messages) === JSON.stringify(await room.stored('t1')));
    expect(tab.text().filter((text) => text === 'One')).toHaveLength(1);
  });

  it('generates an answer again, in its place', async () => {
    const room = await enter([{ text: 'One' }, { text: 'Another' }]);
    const tab = openTab(room);
    await tab.thread.send({ text: 'go' });
    await shows(tab, 'go', 'One');
    await isIdle(tab);
    await tab.thread.regenerate();
    await shows(tab, 'go', 'Another');
    await isIdle(tab);
    expect(tab.thread.snapshot().messages).toEqual(await room.stored('t1'));
  });

  it('runs a tool of its own, also if the page was reloaded meanwhile', async () => {
    const locate = tool({ inputSchema: z.object({}), outputSchema: z.object({ city: z.string() }) });
    const calls: Answers = [{ calls: [{ id: 'c1', name: 'locate', input: {} }] }, { text: 'In Ulm.' }];
    const room = await enter(calls, { tools: { locate } });
    const first = openTab(room);
    await first.thread.send({ text: 'where am I' });
    await hasStatus(first, 'waiting');
    first.close();
    const called: string[] = [];
    const second = openTab(room, {}, { onToolCall: ({ toolCall }) => void called.push(toolCall.toolName) });
    await until(() => called.length > 0);
    await second.thread.addToolOutput({ tool: 'locate', toolCallId: 'c1', output: { city: 'Ulm' } });
    await shows(second, 'where am I', 'In Ulm.');
    expect(called).toEqual(['locate']);
  });

  it('shows a question that a tool asks to all tabs, and takes the answer of one', async () => {
    const paint = tool({
      inputSchema: z.object({}),
      execute: () => ask({ prompt: 'Which colour?', options: ['red', 'blue'] }),
    });
    const calls: Answers = [{ calls: [{ id: 'c1', name: 'paint', input: {} }] }, { text: 'Painted.' }];
    const room = await enter(calls, { tools: { paint } });
    const first = openTab(room);
    await first.thread.send({ text: 'go' });
    await hasStatus(first, 'waiting');
    const second = openTab(room);
    await until(() => second.thread.snapshot().waits.length > 0);
    const [wait] = second.thread.snapshot().waits;
    if (wait?.kind !== 'question') throw new Error('no question is waited for');
    expect(wait).toMatchObject({ prompt: 'Which colour?', tool: 'paint', toolCallId: 'c1' });
    await expect(first.thread.answer(wait.questionId, 'green')).rejects.toMatchObject({ code: 'payload_invalid' });
    await second.thread.answer(wait.questionId, 'blue');
    await expect(first.thread.answer(wait.questionId, 'red')).rejects.toMatchObject({ code: 'question_settled' });
    for (const tab of [first, second]) {
      await isIdle(tab);
      const parts = tab.thread.snapshot().messages.flatMap((message) => message.parts);
      expect(parts.filter(({ type }) => type === 'data-question')).toMatchObject([
        { id: wait.questionId, data: { status: 'answered', answer: 'blue' } },
      ]);
    }
  });

  it('tells of an end, once, and not of those before it opened', async () => {
    const room = await enter([{ text: 'One' }, { text: 'Two' }]);
    const ends: UIMessage[] = [];
    const first = openTab(room, {}, { onFinish: ({ message }) => ends.push(message) });
    await first.thread.send({ text: 'go' });
    await until(() => ends.length > 0);
    first.close();
    const later: string[] = [];
    const second = openTab(room, {}, { onFinish: ({ message }) => later.push(textOf(message)) });
    await shows(second, 'go', 'One');
    await second.thread.send({ text: 'more' });
    await until(() => later.length > 0);
    await isIdle(second);
    expect([ends.map(textOf), later]).toEqual([['One'], ['Two']]);
  });

  it('that is mounted twice, as StrictMode does, connects once', async () => {
    const room = await enter([]);
    const tab = openTab(room);
    tab.close();
    closing.push(tab.thread.hold());
    await isIdle(tab);
    await until(() => room.proxy.openPaths().includes('/api/threads/t1/stream'));
    expect(room.proxy.openPaths().filter((path) => path.includes('stream'))).toHaveLength(1);
  });

  it('shows trouble with the connection, and when it is over', async () => {
    const room = await enter([{ text: 'Hello' }]);
    const tab = openTab(room, { patienceMs: 100 });
    await isIdle(tab);
    const { target } = room.proxy;
    room.proxy.target = undefined;
    room.proxy.cut();
    await until(() => tab.thread.snapshot().error !== undefined);
    expect(tab.thread.snapshot()).toMatchObject({ status: 'error', error: { code: 'connection_lost' } });
    room.proxy.target = target;
    await hasStatus(tab, 'ready');
    expect(tab.thread.snapshot().error).toBeUndefined();
  });
});

describe('eight tabs', () => {
  const openTabs = async (room: Room): Promise<[Tab, ...Tab[]]> => {
    const first = openTab(room);
    await isIdle(first);
    const others = Array.from({ length: 7 }, () => openTab(room));
    for (const tab of others) await isIdle(tab);
    return [first, ...others];
  };
  const streams = (room: Room): number => room.proxy.openPaths().filter((path) => path.includes('stream')).length;

  it('share one stream, and all see a turn whoever starts it', async () => {
    const room = await enter([{ text: 'One' }, { text: 'Two' }]);
    const tabs = await openTabs(room);
    await tabs[7]?.thread.send({ text: 'from a tab' });
    for (const tab of tabs) await shows(tab, 'from a tab', 'One');
    expect(streams(room)).toBe(1);
    for (const tab of tabs) await isIdle(tab);
    await room.runtime().start('support', { thread: 't1', prompt: 'from code' });
    for (const tab of tabs) await shows(tab, 'from a tab', 'One', 'from code', 'Two');
    for (const tab of tabs) {
      await isIdle(tab);
      expect(tab.thread.snapshot().messages).toEqual(await room.stored('t1'));
    }
  });

  it('stop from any of them', async () => {
    const { hold } = held();
    const room = await enter([{ text: 'some words', hold }]);
    const tabs = await openTabs(room);
    await tabs[2]?.thread.send({ text: 'go' });
    for (const tab of tabs) await shows(tab, 'go', 'some words');
    await tabs[7]?.thread.stop();
    expect(tabs[7]?.thread.snapshot()).toMatchObject({ status: 'ready', run: null });
    for (const tab of tabs) {
      await isIdle(tab);
      expect(tab.text()).toEqual(['go', 'some words']);
    }
  });

  it('go on when the one with the stream is closed in mid-answer', async () => {
    const { hold, release } = held();
    const room = await enter([{ text: 'some words', hold }]);
    const [leader, ...others] = await openTabs(room);
    await others[0]?.thread.send({ text: 'go' });
    for (const tab of others) await shows(tab, 'go', 'some words');
    leader.close();
    await until(() => streams(room) === 1 && room.proxy.made() > 0);
    const late = openTab(room);
    await shows(late, 'go', 'some words');
    release();
    for (const tab of [...others, late]) {
      await isIdle(tab);
      expect(tab.thread.snapshot().messages).toEqual(await room.stored('t1'));
    }
    expect(streams(room)).toBe(1);
  });

  it('see an approval that one of them gives', async () => {
    const { answers, settings, refunded } = refunds();
    const room = await enter(answers, settings);
    const tabs = await openTabs(room);
    await tabs[1]?.thread.send({ text: 'refund me' });
    for (const tab of tabs) await hasStatus(tab, 'waiting');
    const wait = tabs[5]?.thread.snapshot().waits[0];
    await tabs[5]?.thread.decide(wait?.kind === 'approval' ? wait.approvalId : '', { approved: true });
    for (const tab of tabs) await shows(tab, 'refund me', 'A moment. Done.');
    expect(refunded).toEqual([5]);
    for (const tab of tabs) {
      await isIdle(tab);
      expect(tab.thread.snapshot().waits).toEqual([]);
    }
  });

  it('on their own each have a stream', async () => {
    const room = await enter([{ text: 'One' }]);
    const tabs = [openTab(room, { tabs: 'own' }), openTab(room, { tabs: 'own' })];
    for (const tab of tabs) await isIdle(tab);
    await tabs[0]?.thread.send({ text: 'go' });
    for (const tab of tabs) await shows(tab, 'go', 'One');
    expect(streams(room)).toBe(2);
  });
});

describe('a leader that does not answer', () => {
  /** A page that is suspended while it holds the lock. */
  const suspendedLeader = async (room: Room): Promise<() => void> => {
    const { hold, release } = held();
    await new Promise<void>((resolve) => {
      const robbed = navigator.locks.request(`everturn ${room.api} t1`, { steal: true }, async () => {
        resolve();
        await hold;
      });
      robbed.catch((error: Error) => expect(error.name).toBe('AbortError'));
    });
    closing.push(release);
    return release;
  };
  const withClock = (): { clock: ManualClock; environment: object } => {
    const clock = manualClock();
    return { clock, environment: { clock, random: () => (ids += 1) / 1_000_003 } };
  };

  it('loses the connection to a tab that asks in vain for two seconds', async () => {
    const room = await enter([{ text: 'One' }]);
    await suspendedLeader(room);
    const { clock, environment } = withClock();
    const tab = openTab(room, { environment });
    await clock.advance(1_900);
    expect(tab.thread.snapshot().isLoaded).toBe(false);
    await clock.advance(200);
    await isIdle(tab);
    await tab.thread.send({ text: 'go' });
    await shows(tab, 'go', 'One');
  });

  it('may have been robbed of it by mistake: who was robbed goes on, and misses nothing', async () => {
    const { hold, release } = held();
    const room = await enter([{ text: 'One', hold }]);
    const { clock, environment } = withClock();
    const first = openTab(room, { environment });
    await isIdle(first);
    const freeze = await suspendedLeader(room);
    const second = openTab(room);
    await second.thread.send({ text: 'go' });
    freeze();
    await shows(second, 'go', 'One');
    await clock.advance(100);
    await shows(first, 'go', 'One');
    release();
    await isIdle(first);
    expect(first.thread.snapshot().messages).toEqual(await room.stored('t1'));
    expect(room.proxy.openPaths().filter((path) => path.includes('stream'))).toHaveLength(1);
  });

  it('is left alone by tabs that nobody looks at', async () => {
    const room = await enter([]);
    const asked: boolean[] = [];
    const { clock, environment } = withClock();
    const api = createAgentApi({ api: room.api, environment });
    const tabs: Tabs = {
      lead: ({ steal, signal }) => {
        asked.push(steal);
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
      },
      join: () => ({ post: () => undefined, close: () => undefined }),
      isVisible: () => isVisible,
    };
    let isVisible = false;
    const sink = { record: undefined, reset: () => undefined, apply: () => undefined, setTrouble: () => undefined };
    const link = openThreadLink({ api, thread: 't1', name: 'x', tabs, sink });
    await clock.advance(60_000);
    expect(asked).toEqual([false]);
    isVisible = true;
    await clock.advance(15_000);
    expect(asked).toContain(true);
    link.close();
  });
});
