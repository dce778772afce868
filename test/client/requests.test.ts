import { describe, expect, it } from 'vitest';
import {
  CHUNKS,
  END,
  fakeServer,
  framesOf,
  offset,
  openStream,
  readAll,
  refusal,
  RUN,
  send,
  streamOf,
} from './fake-server.ts';

const thread = (run: unknown): string => `event: thread\ndata: ${JSON.stringify({ id: 't1', run, queued: [] })}\n\n`;

describe('stop', () => {
  it('stops the run that is being read, and resolves when its end was read', async () => {
    const answer = openStream();
    const server = fakeServer(({ path }) => {
      if (path.endsWith('/stop')) return Response.json({ runId: RUN, status: 'running' }, { status: 202 });
      return path.includes('/threads/') ? streamOf(thread(null)) : answer.response;
    });
    const chunks = send(server).then(readAll);
    answer.write(framesOf(CHUNKS.slice(0, 4)).join(''));
    await server.clock.settleAll();
    let isStopped = false;
    const stopped = server.transport.stop('t1').then(() => (isStopped = true));
    await server.clock.settleAll();
    expect(server.requests.at(-1)).toMatchObject({ method: 'POST', path: `/api/chat/${RUN}~0/stop` });
    expect(isStopped).toBe(false);
    answer.write(framesOf([{ type: 'abort' }, { type: 'finish' }], 4).join('') + END);
    await server.finish(stopped);
    expect((await chunks).map(({ type }) => type).slice(-2)).toEqual(['abort', 'finish']);
    expect(server.requests.at(-1)?.headers.get('last-event-id')).toBe(`${RUN}~${offset(6)}`);
  });

  it('without a response at hand resolves when the thread has gone on', async () => {
    const feed = openStream();
    const server = fakeServer(({ path }) =>
      path.endsWith('/stop') ? Response.json({ runId: RUN, status: 'waiting' }, { status: 202 }) : feed.response,
    );
    let isStopped = false;
    const stopped = server.transport.stop('t1').then(() => (isStopped = true));
    await server.clock.settleAll();
    feed.write(thread({ id: RUN, status: 'running', messageId: 'm', waits: [] }));
    await server.clock.settleAll();
    expect(isStopped).toBe(false);
    feed.write(thread(null));
    await server.finish(stopped);
    expect(server.requests.map(({ path }) => path)).toEqual(['/api/chat/t1/stop', '/api/threads/t1/stream']);
    expect(server.requests[1]?.signal.aborted).toBe(true);
    expect(server.clock.pending).toBe(0);
  });

  it('of a thread where nothing goes on is done', async () => {
    const server = fakeServer(() => Response.json({ runId: null, status: null }, { status: 202 }));
    await server.finish(server.transport.stop('t1'));
    expect(server.requests).toHaveLength(1);
  });
});

describe('a decision', () => {
  it('is posted: approved, edited, denied with a reason', async () => {
    const server = fakeServer(() => Response.json({}));
    await server.finish(server.transport.approve('ap/1'));
    await server.finish(server.transport.approve('ap2', { input: { amount: 5 } }));
    await server.finish(server.transport.deny('ap3', { reason: 'too much' }));
    expect(server.requests.map(({ path, body }) => [path, body])).toEqual([
      ['/api/approvals/ap%2F1/decision', { approved: true }],
      ['/api/approvals/ap2/decision', { input: { amount: 5 }, approved: true }],
      ['/api/approvals/ap3/decision', { reason: 'too much', approved: false }],
    ]);
  });

  it('whose answer was lost finds itself', async () => {
    const server = fakeServer((_, index) => {
      if (index === 0) throw new TypeError('network error');
      return refusal(409, 'approval_decided', { status: 'approved', by: 'ann' });
    });
    await server.finish(server.transport.approve('ap1'));
    expect(server.requests).toHaveLength(2);
  });

  it('that somebody else took is refused', async () => {
    const server = fakeServer(() => refusal(409, 'approval_decided', { status: 'approved', by: 'bob' }));
    await expect(server.finish(server.transport.approve('ap1'))).rejects.toMatchObject({
      code: 'approval_decided',
      details: { by: 'bob' },
    });
    const other = fakeServer((_, index) => {
      if (index === 0) throw new TypeError('network error');
      return refusal(409, 'approval_decided', { status: 'denied', by: 'bob' });
    });
    await expect(other.finish(other.transport.approve('ap1'))).rejects.toMatchObject({ code: 'approval_decided' });
  });
});

it("a tool's output is posted as nothing but itself", async () => {
  const server = fakeServer(() => Response.json({}, { status: 202 }));
  const call = { chatId: 't1', messageId: 'msg_run_1', tool: 'locate', toolCallId: 'c1' };
  await server.finish(server.transport.addToolOutput({ ...call, output: { city: 'Ulm' } }));
  await server.finish(server.transport.addToolOutput({ ...call, errorText: 'no GPS' }));
  const parts = server.requests.map(({ body }) => (body as { messages: Array<{ parts: unknown }> }).messages[0]?.parts);
  expect(parts).toEqual([
    [{ type: 'tool-locate', toolCallId: 'c1', state: 'output-available', output: { city: 'Ulm' } }],
    [{ type: 'tool-locate', toolCallId: 'c1', state: 'output-error', errorText: 'no GPS' }],
  ]);
  expect(server.requests[0]?.headers.get('accept')).toBe('application/json');
});

it('the history of a new chat is empty', async () => {
  const server = fakeServer(() => refusal(404, 'thread_not_found'));
  expect(await server.finish(server.transport.history('t1'))).toEqual({
    id: 't1',
    messages: [],
    authors: {},
    cursor: undefined,
    run: null,
    queued: [],
  });
});

describe('the stream of a thread', () => {
  it('begins before the first run, tells whose chunks they are, and goes on where it was cut', async () => {
    const beginning = { runId: RUN, messageId: 'msg_run_1', messages: [], supersedes: null };
    const run = `event: run\nid: ${RUN}~${offset(0)}\ndata: ${JSON.stringify(beginning)}\n\n`;
    const chunk = `id: ${RUN}~${offset(1)}\ndata: {"type":"start-step"}\n\n`;
    const later = openStream();
    const server = fakeServer((_, index) =>
      index === 0 ? streamOf(thread(null) + run + chunk + chunk.slice(0, 20)) : later.response,
    );
    const controller = new AbortController();
    const updates = server.transport.watch('t1', { signal: controller.signal });
    const { value } = await updates.next();
    expect(value).toEqual([
      { kind: 'thread', status: { id: 't1', run: null, queued: [] } },
      { kind: 'run', beginning, position: `${RUN}~${offset(0)}` },
      { kind: 'chunk', chunk: { type: 'start-step' }, run: RUN, position: `${RUN}~${offset(1)}` },
    ]);
    const next = updates.next();
    await server.clock.advance(1_000);
    later.write('data: {"type":"finish"}\n\n');
    expect((await next).value).toEqual([{ kind: 'chunk', chunk: { type: 'finish' }, run: RUN, position: undefined }]);
    expect(server.requests.map(({ headers }) => headers.get('last-event-id'))).toEqual([
      'start',
      `${RUN}~${offset(1)}`,
    ]);
    const last = updates.next();
    controller.abort();
    await expect(last).rejects.toThrow('aborted');
  });
});
