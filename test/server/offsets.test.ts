import { DurableAgent } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { expect, it } from 'vitest';
import { scriptedModel } from '../agent/run-kit.ts';
import { allFrames, chunksOf, framesOf, overBothWays, refusalOf, say, toChunks } from './kit.ts';
import type { OpenSite, Site } from './kit.ts';
import type { UIMessageChunk } from 'ai';

async function openEnded(open: OpenSite): Promise<{ site: Site; run: string; chunks: UIMessageChunk[] }> {
  const { model } = scriptedModel([{ text: 'one two three four' }, { text: 'five' }]);
  const site = await open({ agents: { support: new DurableAgent({ model }) } });
  const response = await say(site);
  const run = response.headers.get('x-workflow-run-id')?.split('~')[0] ?? '';
  return { site, run, chunks: await chunksOf(response) };
}

const padded = (offset: number): string => String(offset).padStart(16, '0');

overBothWays('positions in a stream', (open) => {
  it('an offset and an index give the rest, from every place', async () => {
    const { site, run, chunks } = await openEnded(open);
    for (let at = 0; at <= chunks.length; at += 1) {
      const byIndex = await site.fetch(`${site.api}/chat/t1/stream?startIndex=${at}`);
      expect(byIndex.headers.get('x-workflow-run-id')).toBe(`${run}~0`);
      expect(byIndex.headers.get('x-workflow-stream-tail-index')).toBe(String(chunks.length - 1));
      expect(await chunksOf(byIndex)).toEqual(chunks.slice(at));
      for (const id of [padded(at), `${run}~${padded(at)}`]) {
        const headers = { 'last-event-id': id };
        const byId = await site.fetch(`${site.api}/chat/${run}/stream?startIndex=1`, { headers });
        expect(await chunksOf(byId)).toEqual(chunks.slice(at));
      }
    }
  });

  it('an index counts from the handle', async () => {
    const { site, run, chunks } = await openEnded(open);
    for (const base of [0, 3, chunks.length]) {
      const response = await site.fetch(`${site.api}/chat/${run}~${base}/stream?startIndex=0`);
      expect(response.headers.get('x-workflow-run-id')).toBe(`${run}~${base}`);
      expect(response.headers.get('x-workflow-stream-tail-index')).toBe(String(chunks.length - base - 1));
      expect(await chunksOf(response)).toEqual(chunks.slice(base));
    }
  });

  it('a negative index goes back to the beginning of its step, and says where that is', async () => {
    const { site, chunks } = await openEnded(open);
    const step = chunks.findIndex(({ type }) => type === 'start-step');
    for (const [index, first] of [
      [-1, step],
      [-3, step],
      [-(chunks.length - step), step],
      [-(chunks.length - step) - 1, 0],
      [-1_000, 0],
    ] as const) {
      const response = await site.fetch(`${site.api}/chat/t1/stream?startIndex=${index}`);
      expect(await chunksOf(response)).toEqual(chunks.slice(first));
      expect(Number(response.headers.get('x-workflow-stream-tail-index')) + 1 + index).toBe(first);
    }
  });

  it.each(['abc', '1.5', '1e3', '0x10', '', ' ', '-', '--1', '99999999999999999999', 'NaN', 'Infinity'])(
    'startIndex %j is refused',
    async (startIndex) => {
      const { site } = await openEnded(open);
      const response = await site.fetch(`${site.api}/chat/t1/stream?startIndex=${encodeURIComponent(startIndex)}`);
      expect(await refusalOf(response)).toMatchObject({ status: 400, code: 'invalid_offset', details: { startIndex } });
    },
  );

  it('ids that are no offsets, lie beyond the tail or belong to another stream are refused', async () => {
    const { site, run, chunks } = await openEnded(open);
    const other = await say(site, { thread: 't2' });
    const otherRun = other.headers.get('x-workflow-run-id')?.split('~')[0] ?? '';
    await chunksOf(other);
    const tail = chunks.length;
    for (const id of ['-1', 'abc', '1.5', '12345678901234567', padded(tail + 1), `${otherRun}~${padded(1)}`]) {
      const response = await site.fetch(`${site.api}/chat/${run}/stream`, { headers: { 'last-event-id': id } });
      expect(await refusalOf(response)).toMatchObject({ status: 400, code: 'invalid_offset' });
    }
    const beyond = await site.fetch(`${site.api}/chat/${run}/stream?startIndex=${tail + 1}`);
    expect(await refusalOf(beyond)).toMatchObject({ code: 'invalid_offset', details: { offset: tail + 1, tail } });
    const handle = await site.fetch(`${site.api}/chat/${run}~${tail + 1}/stream?startIndex=0`);
    expect(await refusalOf(handle)).toMatchObject({ code: 'invalid_offset', details: { tail } });
  });

  it('streams of runs that were removed are not found', async () => {
    const { site, run } = await openEnded(open);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await site.runtime.gc({ olderThanMs: 0 })).toBe(1);
    const response = await site.fetch(`${site.api}/chat/${run}~0/stream?startIndex=3`);
    expect(await refusalOf(response)).toMatchObject({ status: 404, code: 'run_not_found' });
  });

  it('a thread without runs has nothing to resume, and ends a reader that counts', async () => {
    const { site } = await openEnded(open);
    expect((await site.fetch(`${site.api}/chat/new/stream`)).status).toBe(204);
    for (const index of ['0', '-5']) {
      const response = await site.fetch(`${site.api}/chat/new/stream?startIndex=${index}`);
      expect(toChunks(await allFrames(response))).toEqual([{ type: 'finish' }]);
    }
    const ahead = await site.fetch(`${site.api}/chat/new/stream?startIndex=3`);
    expect(await refusalOf(ahead)).toMatchObject({ status: 400, code: 'invalid_offset' });
  });
});

overBothWays('a stream that retention has shortened', (open) => {
  async function openShortened(keep = 2): Promise<{ site: Site; run: string; tail: number }> {
    const store = memoryStore();
    const { model } = scriptedModel([{ text: 'one two three four' }]);
    const site = await open({ store, agents: { support: new DurableAgent({ model }) } });
    const response = await say(site);
    const run = response.headers.get('x-workflow-run-id')?.split('~')[0] ?? '';
    const tail = (await chunksOf(response)).length;
    await store.trim({ keep, spare: [], limit: 10 });
    return { site, run, tail };
  }

  it('says below what is kept where it may be read, and why', async () => {
    const { site, run, tail } = await openShortened();
    const expired = { status: 410, code: 'offset_expired', details: { before: tail - 2, reason: 'count' } };
    const refused = [
      `/chat/${run}/stream?startIndex=1`,
      `/chat/${run}~1/stream?startIndex=0`,
      `/threads/t1/stream?after=start`,
      `/threads/t1/stream?after=${run}~${padded(1)}`,
    ];
    for (const path of refused) {
      expect(await refusalOf(await site.fetch(site.api + path)), path).toMatchObject(expired);
    }
    const headers = { 'last-event-id': padded(1) };
    expect(await refusalOf(await site.fetch(`${site.api}/chat/t1/stream`, { headers }))).toMatchObject(expired);
  });

  it('is read from what is kept on, and the history is whole', async () => {
    const { site, run, tail } = await openShortened();
    const kept = await site.fetch(`${site.api}/chat/${run}/stream?startIndex=${tail - 2}`);
    expect((await chunksOf(kept)).map(({ type }) => type)).toEqual(['finish-step', 'finish']);
    const history = (await (await site.fetch(`${site.api}/chat/t1`)).json()) as { messages: unknown[]; cursor: string };
    expect(JSON.stringify(history.messages)).toContain('one two three four');
    const controller = new AbortController();
    const tab = await site.fetch(`${site.api}/threads/t1/stream?after=${history.cursor}`, {
      signal: controller.signal,
    });
    expect(tab.status).toBe(200);
    await tab.body?.cancel();
    controller.abort();
  });

  it('has its end for those who had read it whole, when nothing of it is kept', async () => {
    const { site, run, tail } = await openShortened(0);
    const rest = await allFrames(await site.fetch(`${site.api}/chat/${run}/stream?startIndex=${tail}`));
    expect(rest.map(({ data }) => data)).toEqual(['[DONE]']);
    const { cursor } = (await (await site.fetch(`${site.api}/chat/t1`)).json()) as { cursor: string };
    const controller = new AbortController();
    const tab = await site.fetch(`${site.api}/threads/t1/stream?after=${cursor}`, { signal: controller.signal });
    const frames = framesOf(tab, controller.signal);
    expect((await frames.next()).value).toMatchObject({ event: 'thread' });
    controller.abort();
  });
});
