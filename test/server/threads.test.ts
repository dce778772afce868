import { DurableAgent } from 'everturn';
import { memoryStore } from 'everturn/memory';
import type { Store } from 'everturn';
import { tool } from 'ai';
import type { UIMessage } from 'ai';
import { afterEach, expect, it } from 'vitest';
import { z } from 'zod';
import { scriptedModel, until } from '../agent/run-kit.ts';
import type { Answer } from '../agent/run-kit.ts';
import { chunksOf, framesOf, overBothWays, post, refusalOf, say, textOf, toChunks } from './kit.ts';
import type { Agents, Frame, OpenSite, Site } from './kit.ts';

interface Tab {
  frames: Frame[];
  close(): Promise<void>;
}

const tabs: Tab[] = [];

/** Reads a thread's stream in the background. */
async function openTab(site: Site, { thread = 't1', query = '', headers = {} } = {}): Promise<Tab> {
  const controller = new AbortController();
  const response = await site.fetch(`${site.api}/threads/${thread}/stream${query}`, {
    headers,
    signal: controller.signal,
  });
  expect(response.status).toBe(200);
  const frames: Frame[] = [];
  const reading = (async () => {
    for await (const frame of framesOf(response, controller.signal)) frames.push(frame);
  })().catch((error: unknown) => {
    if (!controller.signal.aborted) throw error;
  });
  const tab = {
    frames,
    close() {
      controller.abort();
      return reading;
    },
  };
  tabs.push(tab);
  return tab;
}

interface Status {
  run: { id: string; status: string; waits: Array<Record<string, unknown>> } | null;
  queued: Array<{ messages: UIMessage[]; by: string | null }>;
}

function statuses(tab: Tab): Status[] {
  return tab.frames.filter(({ event }) => event === 'thread').map(({ data }) => JSON.parse(data) as Status);
}

function idle(tab: Tab): boolean {
  return tab.frames.at(-1)?.event === 'thread' && statuses(tab).at(-1)?.run === null;
}

const agentOf = (answers: Answer[]): Agents => ({
  support: new DurableAgent({ model: scriptedModel(answers).model }),
});

function refundAgent(): Agents {
  const { model } = scriptedModel([
    { text: 'A moment', calls: [{ id: 'c1', name: 'refund', input: {} }] },
    { text: 'Refunded' },
  ]);
  const refund = tool({ inputSchema: z.object({}), execute: () => 'done' });
  return { support: new DurableAgent({ model, tools: { refund }, toolApproval: { refund: 'user-approval' } }) };
}

overBothWays('a thread', (open: OpenSite) => {
  afterEach(async () => {
    for (const tab of tabs.splice(0)) await tab.close();
  });

  it('is open before its first run, and every tab sees each run, whoever sent it', async () => {
    const site = await open({ agents: agentOf([{ text: 'One' }, { text: 'Two' }]) });
    const [a, b] = [await openTab(site), await openTab(site)];
    await until(() => idle(a) && idle(b));
    await chunksOf(await say(site, { id: 'm1', text: 'first' }));
    await until(() => idle(a) && textOf(toChunks(a.frames)) === 'One');
    await chunksOf(await say(site, { id: 'm2', text: 'second' }));
    await until(
      () => textOf(toChunks(a.frames)) === 'OneTwo' && idle(a) && textOf(toChunks(b.frames)) === 'OneTwo' && idle(b),
    );
    const runs = a.frames
      .filter(({ event }) => event === 'run')
      .map(({ data }) => JSON.parse(data) as { messages: UIMessage[] });
    expect(runs.map(({ messages }) => messages[0]?.id)).toEqual(['m1', 'm2']);
    for (const tab of [a, b]) expect(toChunks(tab.frames).filter(({ type }) => type === 'finish')).toHaveLength(2);
  });

  it('goes on from any position: what came before and what comes after make the whole', async () => {
    const site = await open({ agents: agentOf([{ text: 'one two three' }, { text: 'four' }]) });
    await chunksOf(await say(site, { id: 'm1' }));
    await chunksOf(await say(site, { id: 'm2' }));
    const [, first] = (await site.runtime.list({})).items;
    const start = `${first?.id}~${'0'.repeat(16)}`;
    const whole = await openTab(site, { query: `?after=${start}` });
    await until(() => idle(whole));
    expect(textOf(toChunks(whole.frames))).toBe('one two threefour');
    const data = (frames: Frame[]): string[] =>
      frames.filter(({ event }) => event !== 'thread').map((frame) => frame.data);
    const ids = whole.frames.flatMap(({ id }) => id ?? []);
    expect(ids.length).toBeGreaterThan(8);
    for (const id of ids) {
      const cut = whole.frames.findLastIndex((frame) => frame.id === id);
      const rest = await openTab(site, { headers: { 'last-event-id': id } });
      await until(() => idle(rest));
      const expected = data(whole.frames.slice(cut + 1));
      // At the very beginning of a run its event is sent again: nothing of the run was received.
      expect(data(rest.frames).filter((each) => !each.includes('"supersedes"'))).toEqual(
        expected.filter((each) => !each.includes('"supersedes"')),
      );
    }
  });

  it('goes on exactly where the history ends, in the middle of a run too', async () => {
    let release = (): void => {};
    const hold = new Promise<void>((resolve) => (release = resolve));
    const site = await open({ agents: agentOf([{ text: 'One' }, { text: 'Two', hold }]) });
    const read = async (): Promise<{ messages: UIMessage[]; cursor: string }> =>
      (await (await site.fetch(`${site.api}/chat/t1`)).json()) as { messages: UIMessage[]; cursor: string };
    await chunksOf(await say(site, { id: 'm1' }));
    const ended = await read();
    const afterEnd = await openTab(site, { query: `?after=${ended.cursor}` });
    const sent = await say(site, { id: 'm2' });
    await until(() => textOf(toChunks(afterEnd.frames)) === 'Two');
    const running = await read();
    expect(running.messages.at(-1)?.role).toBe('user');
    const inRun = await openTab(site, { query: `?after=${running.cursor}` });
    release();
    await chunksOf(sent);
    await until(() => idle(afterEnd) && idle(inRun));
    expect([textOf(toChunks(afterEnd.frames)), textOf(toChunks(inRun.frames))]).toEqual(['Two', 'Two']);
  });

  it('says what it waits for after the chunks that led there, and goes on when somebody decides elsewhere', async () => {
    const site = await open({ agents: refundAgent() });
    const tab = await openTab(site);
    await chunksOf(await say(site));
    await until(() => statuses(tab).at(-1)?.run?.status === 'waiting');
    const types = toChunks(tab.frames).map(({ type }) => type);
    expect(types.at(-1)).toBe('finish-step');
    expect(tab.frames.at(-1)?.event).toBe('thread');
    const wait = statuses(tab).at(-1)?.run?.waits[0];
    expect(wait).toMatchObject({ kind: 'approval', tool: 'refund', toolCallId: 'c1' });
    const late = await openTab(site);
    await until(() => statuses(late).at(-1)?.run?.status === 'waiting');
    expect(toChunks(late.frames)).toEqual([]);
    await post(site, { approved: true }, { path: `/approvals/${String(wait?.['approvalId'])}/decision` });
    await until(() => idle(tab) && idle(late));
    expect(toChunks(late.frames)[0]).toMatchObject({ type: 'tool-approval-response', approved: true });
    expect(textOf(toChunks(tab.frames))).toBe('A momentRefunded');
    expect(textOf(toChunks(late.frames))).toBe('Refunded');
  });

  it('tells who said what: live, in the queue and in the history', async () => {
    let release = (): void => undefined;
    const hold = new Promise<void>((resolve) => (release = resolve));
    const agents = agentOf([{ text: 'one', hold }, { text: 'two' }]);
    const site = await open({ agents });
    const tab = await openTab(site, { query: '?after=start' });
    const first = await say(site, {}, { headers: { 'x-user': 'ann' } });
    const queued = await say(site, { id: 'm2', whenBusy: 'queue' }, { headers: { 'x-user': 'bo' } });
    await until(() => statuses(tab).some((status) => status.queued[0]?.by === 'bo'));
    release();
    await Promise.all([chunksOf(first), chunksOf(queued)]);
    await until(() => idle(tab));
    const beginnings = tab.frames
      .filter(({ event }) => event === 'run')
      .map(({ data }) => JSON.parse(data) as { by: string });
    expect(beginnings.map(({ by }) => by)).toEqual(['ann', 'bo']);
    const history = (await (await site.fetch(`${site.api}/chat/t1`)).json()) as { authors: Record<string, string> };
    expect(history.authors).toEqual({ m1: 'ann', m2: 'bo' });
  });

  it('shows who is queued, and which run replaces which', async () => {
    let release = (): void => {};
    const hold = new Promise<void>((resolve) => (release = resolve));
    const site = await open({ agents: agentOf([{ text: 'One', hold }, { text: 'Two' }, { text: 'Again' }]) });
    const tab = await openTab(site);
    const first = await say(site, { id: 'm1' });
    const queued = await say(site, { id: 'm2', text: 'later', whenBusy: 'queue' });
    await until(() => statuses(tab).some((status) => status.queued[0]?.messages[0]?.id === 'm2'));
    release();
    await Promise.all([chunksOf(first), chunksOf(queued)]);
    const again = await post(site, {
      id: 't1',
      trigger: 'regenerate-message',
      messages: [{ id: 'm2', role: 'user', parts: [] }],
    });
    await chunksOf(again);
    await until(() => idle(tab) && textOf(toChunks(tab.frames)) === 'OneTwoAgain');
    const runs = tab.frames
      .filter(({ event }) => event === 'run')
      .map(({ data }) => JSON.parse(data) as { runId: string; supersedes: string | null });
    expect(runs.map(({ supersedes }) => supersedes)).toEqual([null, null, runs[1]?.runId]);
  });

  it('refuses positions that are none of its own', async () => {
    const site = await open({ agents: agentOf([{ text: 'One' }, { text: 'Two' }]) });
    const ids: string[] = [];
    for (const thread of ['t1', 't2']) {
      const sent = await say(site, { thread });
      ids.push(sent.headers.get('x-workflow-run-id')?.split('~')[0] ?? '');
      await chunksOf(sent);
    }
    const at = (run: string | undefined, offset: number): string => `${run}~${String(offset).padStart(16, '0')}`;
    const refused = [at(ids[1], 1), at(ids[0], 9_999), at('run_0', 1), '0000000000000001', 'x', `${ids[0]}~-1`];
    for (const after of refused) {
      const response = await site.fetch(`${site.api}/threads/t1/stream?after=${encodeURIComponent(after)}`);
      expect(await refusalOf(response)).toMatchObject({ status: 400, code: 'invalid_offset' });
    }
  });

  it('readers that go away leave nothing behind', async () => {
    const store = memoryStore();
    let watching = 0;
    const watch: NonNullable<Store['watch']> = (listener) => {
      const stop = store.watch?.(listener);
      watching += 1;
      let isOpen = true;
      return () => {
        if (isOpen) watching -= 1;
        isOpen = false;
        stop?.();
      };
    };
    let release = (): void => {};
    const hold = new Promise<void>((resolve) => (release = resolve));
    const site = await open({ store: { ...store, watch }, agents: agentOf([{ text: 'One', hold }]) });
    await until(() => watching === 1);
    const sent = await say(site, {}, { headers: { accept: 'application/json' } });
    const { handle } = (await sent.json()) as { handle: string };
    const responses = await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        const path = index % 2 === 0 ? '/threads/t1/stream' : `/chat/${handle}/stream`;
        const controller = new AbortController();
        const response = await site.fetch(`${site.api}${path}`, { signal: controller.signal });
        const reader = response.body?.getReader();
        await reader?.read();
        return { controller, reader };
      }),
    );
    await until(() => watching > 1);
    for (const { controller, reader } of responses) {
      controller.abort();
      await reader?.cancel().catch(() => undefined);
    }
    await until(() => watching === 1);
    release();
    expect(await site.runtime.getRun(handle.split('~')[0] ?? '').result()).toMatchObject({ text: 'One' });
  });
});
