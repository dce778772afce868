import { DurableAgent, getWritable, step, workflow } from 'everturn';
import type { AppOptions } from 'everturn/server';
import { expect, it } from 'vitest';
import { scriptedModel, until } from '../agent/run-kit.ts';
import { allFrames, framesOf, overBothWays, refusalOf } from './kit.ts';
import type { OpenSite, Site } from './kit.ts';
import { collect } from '../support/collect.ts';

const ROWS = ['id,name\n', '1,"Ann"\n', '2,"Bo"\n'];

/** Writes bytes to one stream, values and bytes to another. */
const report = workflow('report', async () => {
  await step('rows', async () => {
    const rows = getWritable<Uint8Array>({ namespace: 'rows/csv' }).getWriter();
    for (const row of ROWS) await rows.write(new TextEncoder().encode(row));
    await rows.close();
  });
  await step('events', async () => {
    const events = getWritable({ namespace: 'events' }).getWriter();
    await events.write({ n: 1, text: 'line\nbreak\u2028' });
    await events.write(new Uint8Array([0, 255]));
    await events.write('three');
    await events.close();
  });
  return null;
});

async function openReport(
  open: OpenSite,
  { ended = true, app = {} }: { ended?: boolean; app?: AppOptions } = {},
): Promise<Report> {
  let release = (): void => undefined;
  const hold = new Promise<void>((resolve) => (release = resolve));
  const held = workflow('held', async () => {
    await step('events', async () => {
      const events = getWritable({ namespace: 'events' }).getWriter();
      await events.write({ n: 1 });
      await hold;
      await events.write({ n: 2 });
      await events.close();
    });
  });
  const support = new DurableAgent({ model: scriptedModel([]).model });
  const site = await open({ agents: { support }, workflows: [report, held] }, app);
  const run = await site.runtime.start(ended ? report : held, { id: 'run_1' });
  if (ended) await run.result();
  else await run.stream({ namespace: 'events' }).getReader().read();
  const read: Report['read'] = (path, headers = {}, method = 'GET') =>
    site.fetch(`${site.api}/runs/run_1/streams/${path}`, { headers, method });
  return { site, read, release };
}

interface Report {
  site: Site;
  read(path: string, headers?: Record<string, string>, method?: string): Promise<Response>;
  release(): void;
}

const LINES = { accept: 'application/x-ndjson' };
const EVENTS = { accept: 'text/event-stream' };

async function linesOf(response: Response): Promise<unknown[]> {
  const text = await response.text();
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as unknown]));
}

/** What the `data` events of the Durable Streams protocol say. */
async function dataOf(response: Response): Promise<string> {
  const events = (await response.text()).split('\n\n').filter((event) => event.startsWith('event: data\n'));
  return events.map((event) => event.slice('event: data\ndata:'.length).replaceAll('\ndata:', '\n')).join('');
}

overBothWays('a stream of a run', (open) => {
  it('is a page of JSON, with the place after it', async () => {
    const { read } = await openReport(open);
    const response = await read('events');
    expect(await response.json()).toEqual([
      { n: 1, text: 'line\nbreak\u2028' },
      { type: 'data-bytes', data: 'AP8=', transient: true },
      'three',
    ]);
    const { headers } = response;
    expect(headers.get('stream-next-offset')).toBe('0000000000000003');
    expect([headers.get('stream-up-to-date'), headers.get('stream-closed')]).toEqual(['true', 'true']);
    expect(headers.get('content-type')).toBe('application/json');
  });

  it('is its bytes for who asks for bytes, and where its type is declared', async () => {
    const streamType: AppOptions['streamType'] = ({ namespace }) => (namespace === 'rows/csv' ? 'text/csv' : undefined);
    const { read } = await openReport(open, { app: { streamType } });
    const declared = await read('rows%2Fcsv');
    expect(declared.headers.get('content-type')).toBe('text/csv');
    expect(await declared.text()).toBe(ROWS.join(''));
    const asked = await read('events?offset=1', { accept: 'application/octet-stream' });
    expect(asked.headers.get('content-type')).toBe('application/octet-stream');
    expect([...new Uint8Array(await asked.arrayBuffer())]).toEqual([0, 255, ...new TextEncoder().encode('three')]);
  });

  it('is lines: each chunk with the offset after it, and an explicit end', async () => {
    const { read } = await openReport(open);
    expect(await linesOf(await read('events', LINES))).toEqual([
      { offset: '0000000000000001', chunk: { n: 1, text: 'line\nbreak\u2028' } },
      { offset: '0000000000000002', base64: 'AP8=' },
      { offset: '0000000000000003', chunk: 'three' },
      { offset: '0000000000000003', closed: true },
    ]);
    expect(await linesOf(await read('events?offset=2', LINES))).toHaveLength(2);
  });

  it('is events: each chunk with the offset after it as its id, bytes by name, and [DONE]', async () => {
    const { read } = await openReport(open);
    const frames = await allFrames(await read('events', EVENTS));
    expect(frames.map(({ id, event }) => [id, event])).toEqual([
      ['0000000000000001', undefined],
      ['0000000000000002', 'bytes'],
      ['0000000000000003', undefined],
      [undefined, undefined],
    ]);
    expect(frames[1]?.data).toBe('AP8=');
    expect(frames[3]?.data).toBe('[DONE]');
    const rest = await allFrames(await read('events?offset=0', { ...EVENTS, 'last-event-id': frames[1]?.id ?? '' }));
    expect(rest).toEqual(frames.slice(2));
  });

  it('goes on as it grows, and lines stop at the tail for who does not follow', async () => {
    const { read, release } = await openReport(open, { ended: false });
    const following = read('events', LINES);
    const live = framesOf(await read('events?offset=-1&live=sse'));
    expect((await live.next()).value).toMatchObject({ event: 'data', data: '[{"n":1}]' });
    expect(JSON.parse((await live.next()).value?.data ?? '')).toMatchObject({ upToDate: true });
    expect(await linesOf(await read('events?follow=false', LINES))).toEqual([
      { offset: '0000000000000001', chunk: { n: 1 } },
      { offset: '0000000000000001', closed: false },
    ]);
    const polled = read('events?offset=1&live=long-poll');
    release();
    expect(await (await polled).json()).toEqual([{ n: 2 }]);
    expect((await live.next()).value).toMatchObject({ event: 'data', data: '[{"n":2}]' });
    const last = await collect(live);
    expect(JSON.parse(last.at(-1)?.data ?? '')).toMatchObject({ streamClosed: true });
    expect((await linesOf(await following)).at(-1)).toEqual({ offset: '0000000000000002', closed: true });
  });

  it('may be kept when nothing of it can change, and is asked for again at an open tail', async () => {
    const { read } = await openReport(open);
    const whole = await read('events');
    expect(whole.headers.get('cache-control')).toMatch(/^private, max-age=\d+, immutable$/);
    expect(whole.headers.get('vary')).toContain('authorization');
    const tag = whole.headers.get('etag') ?? '';
    const again = await read('events', { 'if-none-match': `"other", W/${tag}` });
    expect([again.status, await again.text()]).toEqual([304, '']);
    expect((await read('events?offset=now')).headers.get('cache-control')).toBe('no-store');
    const grown = await openReport(open, { ended: false });
    const tail = await grown.read('events');
    expect(tail.headers.get('cache-control')).toBe('private, no-cache');
    grown.release();
  });

  it('is kept by its address alone: a page is the same whatever came last', async () => {
    const { read } = await openReport(open);
    const page = await (await read('events?offset=-1')).text();
    for (const mode of ['', '&live=long-poll']) {
      const again = await read(`events?offset=-1${mode}`, { 'last-event-id': '0000000000000002' });
      expect(await again.text()).toBe(page);
    }
  });

  it('of texts says whole characters and line breaks in each event, as it is written and afterwards', async () => {
    const bytes = new Uint8Array([...new TextEncoder().encode('añb😀c\r\nd\re'), 0xf0, 0x9f]);
    let release = (): void => undefined;
    const hold = new Promise<void>((resolve) => (release = resolve));
    const writes = workflow('writes', () =>
      step('write', async () => {
        const writer = getWritable<Uint8Array>({ namespace: 'text' }).getWriter();
        await hold;
        for (const [index, byte] of bytes.entries()) {
          await writer.write(new Uint8Array([byte]));
          const at = { run: 'run_1', stream: 'text', from: index };
          await until(async () => (await site.runtime.streams.page(at)).chunks.length > 0);
        }
        await writer.close();
      }),
    );
    const support = new DurableAgent({ model: scriptedModel([]).model });
    const site = await open({ agents: { support }, workflows: [writes] }, { streamType: () => 'text/plain' });
    await site.runtime.start(writes, { id: 'run_1' });
    const read = (from: number): Promise<Response> =>
      site.fetch(`${site.api}/runs/run_1/streams/text?offset=${from}&live=sse`);
    const wanted = (from: number): string => new TextDecoder().decode(bytes.subarray(from)).replaceAll(/\r\n?/g, '\n');
    const live = read(-1).then(dataOf);
    release();
    expect(await live).toBe(wanted(0));
    for (const from of [0, 1, 4, 8]) expect(await dataOf(await read(from))).toBe(wanted(from));
  });

  it('tells its tail to HEAD', async () => {
    const { read } = await openReport(open);
    const response = await read('events', {}, 'HEAD');
    expect([response.status, await response.text()]).toEqual([200, '']);
    expect(response.headers.get('stream-next-offset')).toBe('0000000000000003');
    expect(response.headers.get('stream-closed')).toBe('true');
    expect(response.headers.get('cache-control')).toBe('no-store');
  });

  it('cannot be written to', async () => {
    const { read } = await openReport(open);
    for (const method of ['PUT', 'POST', 'DELETE', 'PATCH']) {
      const response = await read('events', { 'content-type': 'application/json' }, method);
      expect(response.headers.get('allow')).toBe('GET, HEAD');
      expect(await refusalOf(response)).toMatchObject({ status: 405, code: 'method_not_allowed' });
    }
  });

  it('refuses offsets that are none, or lie beyond the tail', async () => {
    const { read } = await openReport(open);
    for (const query of [
      'offset=',
      'offset=a',
      'offset=-2',
      'offset=4',
      'offset=1&offset=2',
      'live=sse',
      'offset=1&live=x',
    ]) {
      expect((await read(`events?${query}`)).status).toBe(400);
    }
    const refusal = await refusalOf(await read('events?offset=4'));
    expect(refusal).toMatchObject({ code: 'invalid_offset', details: { tail: 3 } });
    expect((await read('events', { ...EVENTS, 'last-event-id': 'run_1~3' })).status).toBe(400);
  });

  it("of another tenant's run is no stream, as that of no run", async () => {
    const asked: unknown[] = [];
    const authorize: AppOptions['authorize'] = (request, access) => {
      asked.push(access);
      return { id: 'ann', tenant: request.headers.get('x-tenant') ?? 'a' };
    };
    const { site, read } = await openReport(open, { app: { authorize } });
    const foreign = await refusalOf(await read('events'));
    const unknown = await refusalOf(await site.fetch(`${site.api}/runs/run_2/streams/events`));
    expect(asked[0]).toEqual({ action: 'stream.read', runId: 'run_1' });
    expect(foreign.status).toBe(404);
    expect(foreign.message.replace('run_1', 'run_2')).toBe(unknown.message);
  });
});
