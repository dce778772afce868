import { DurableError } from 'everturn/client';
import { describe, expect, it } from 'vitest';
import {
  CHUNKS,
  END,
  fakeServer,
  framesOf,
  HELLO,
  offset,
  OPENING,
  openStream,
  readAll,
  refusal,
  RUN,
  send,
  streamOf,
} from './fake-server.ts';
import type { Answerer } from './fake-server.ts';

const WHOLE = OPENING + framesOf(CHUNKS).join('') + END;

/** What comes after the id that the request names. */
const rest: Answerer = ({ headers }) => {
  const from = Number(headers.get('last-event-id') ?? 0);
  return streamOf(OPENING + framesOf(CHUNKS.slice(from), from).join('') + END);
};

const unreachable = (): never => {
  throw new TypeError('fetch failed');
};

describe('a response that breaks', () => {
  it('at any byte goes on inside its stream: each chunk once, in order', async () => {
    const length = new TextEncoder().encode(WHOLE).length;
    for (let cutAt = 0; cutAt < length; cutAt += 1) {
      const server = fakeServer((asked, index) => (index === 0 ? streamOf(WHOLE, { cutAt }) : rest(asked, index)));
      expect(await server.finish(send(server).then(readAll)), `cut at byte ${cutAt}`).toEqual(CHUNKS);
      for (const { method, path } of server.requests.slice(1)) {
        expect([method, path]).toEqual(['GET', `/api/chat/${RUN}~0/stream`]);
      }
    }
  });

  it('again and again, with one more chunk each time, costs no patience', async () => {
    const frames = framesOf(CHUNKS);
    const server = fakeServer(
      ({ headers }) => {
        const from = Number(headers.get('last-event-id') ?? 0);
        return streamOf(frames[from] ?? '', { cutAt: 1_000 });
      },
      { patienceMs: 1 },
    );
    expect(await server.finish(send(server).then(readAll))).toEqual(CHUNKS);
    expect(server.requests).toHaveLength(CHUNKS.length);
  });

  it('before anything of it came is asked for from where the answer began', async () => {
    const handle = `${RUN}~5`;
    const server = fakeServer((asked, index) =>
      index === 0 ? streamOf('', { cutAt: 0, handle }) : rest(asked, index),
    );
    expect(await server.finish(send(server).then(readAll))).toEqual(CHUNKS.slice(5));
    expect(server.requests[1]?.headers.get('last-event-id')).toBe(offset(5));
  });

  it('after its finish has ended', async () => {
    const server = fakeServer(() => streamOf(framesOf(CHUNKS).join(''), { cutAt: 10_000 }));
    expect(await server.finish(send(server).then(readAll))).toEqual(CHUNKS);
    expect(server.requests).toHaveLength(1);
  });

  it('never loops because it has no finish', async () => {
    const server = fakeServer(() => streamOf(framesOf(CHUNKS.slice(0, 3)).join('') + END));
    expect(await server.finish(send(server).then(readAll))).toEqual(CHUNKS.slice(0, 3));
    expect(server.requests).toHaveLength(1);
  });
});

describe('a send', () => {
  it('posts the last message alone, and again until it is answered', async () => {
    const server = fakeServer((asked, index) => (index < 2 ? unreachable() : streamOf(WHOLE)));
    const earlier = { ...HELLO, id: 'm0' };
    expect(await server.finish(send(server, { messages: [earlier, HELLO] }).then(readAll))).toEqual(CHUNKS);
    expect(server.requests.map(({ method, path }) => `${method} ${path}`)).toEqual(Array(3).fill('POST /api/chat'));
    for (const { body } of server.requests) {
      expect(body).toEqual({ id: 't1', messages: [HELLO], trigger: 'submit-message' });
    }
  });

  it('is refused once', async () => {
    const server = fakeServer(() => refusal(409, 'thread_busy', { active: RUN }));
    const refused = await server.finish(send(server).catch((error: unknown) => error));
    expect(refused).toBeInstanceOf(DurableError);
    expect(refused).toMatchObject({ code: 'thread_busy', details: { active: RUN } });
    expect((refused as DurableError).message).toBe('It is thread_busy. (docs/errors.md#thread_busy)');
    expect(server.requests).toHaveLength(1);
  });

  it('asks for its headers before each try', async () => {
    let token = 0;
    const server = fakeServer((asked, index) => (index === 0 ? unreachable() : streamOf(WHOLE)), {
      headers: () => ({ authorization: `Bearer ${(token += 1)}` }),
    });
    await server.finish(send(server).then(readAll));
    expect(server.requests.map(({ headers }) => headers.get('authorization'))).toEqual(['Bearer 1', 'Bearer 2']);
  });

  it('waits as long as a 503 says', async () => {
    const busy = new Response('', { status: 503, headers: { 'retry-after': '7' } });
    const server = fakeServer((asked, index) => (index === 0 ? busy : streamOf(WHOLE)));
    const sent = send(server).then(readAll);
    await server.clock.advance(6_900);
    expect(server.requests).toHaveLength(1);
    await server.clock.advance(100);
    expect(server.requests).toHaveLength(2);
    expect(await sent).toEqual(CHUNKS);
  });

  it.each([
    ['a proxy that finds no server', (): Response => new Response('<h1>Bad Gateway</h1>', { status: 502 })],
    ['a development server that proxies', (): Response => new Response('ECONNREFUSED', { status: 500 })],
    ['a store that is away', (): Response => refusal(503, 'store_unavailable')],
    ['too many requests', (): Response => new Response('', { status: 429 })],
  ])('tries again after %s', async (_, failing) => {
    const server = fakeServer((asked, index) => (index < 3 ? failing() : streamOf(WHOLE)));
    expect(await server.finish(send(server).then(readAll))).toEqual(CHUNKS);
    expect(server.requests).toHaveLength(4);
  });

  it.each([
    ['the server failed', (): Response => refusal(500, 'internal_error'), 'internal_error'],
    [
      'a login page came',
      (): Response => new Response('<html>', { headers: { 'content-type': 'text/html' } }),
      'response_unexpected',
    ],
    ['authorize said no', (): Response => new Response('who are you?', { status: 401 }), 'response_unexpected'],
  ])('gives up at once if %s', async (_, failing, code) => {
    const server = fakeServer(failing);
    await expect(server.finish(send(server))).rejects.toMatchObject({ code });
    expect(server.requests).toHaveLength(1);
  });
});

describe('patience', () => {
  it('ends with a readable error', async () => {
    const server = fakeServer(unreachable);
    const error = (await server.finish(send(server).catch((error: unknown) => error))) as DurableError;
    expect(error).toMatchObject({ code: 'connection_lost', retryable: true });
    expect(error.message).toMatch(/could not be reached for 12\d s, in \d+ tries \(fetch failed\)/);
    expect(server.requests.length).toBeGreaterThan(20);
    expect(server.requests.length).toBeLessThan(80);
  });

  it('ends for a server that accepts and hangs up at once', async () => {
    const server = fakeServer(() => streamOf(OPENING));
    await expect(server.finish(send(server).then(readAll))).rejects.toMatchObject({ code: 'connection_lost' });
    expect(server.requests.length).toBeLessThan(80);
  });

  it('is not spent by a proxy that cuts an idle response every 25 s', async () => {
    let isWorking = true;
    const server = fakeServer((asked) => {
      if (!isWorking) return rest(asked, 0);
      const { response, write } = openStream();
      write(OPENING);
      server.clock.schedule(() => write('cut'), 24_000);
      const body = response.body?.pipeThrough(
        new TransformStream<Uint8Array, Uint8Array>({
          transform(bytes, controller) {
            if (new TextDecoder().decode(bytes) === 'cut') controller.terminate();
            else controller.enqueue(bytes);
          },
        }),
      );
      return new Response(body ?? null, { headers: response.headers });
    });
    const sent = send(server).then(readAll);
    await server.clock.advance(3_000_000);
    isWorking = false;
    expect(await server.finish(sent)).toEqual(CHUNKS);
    expect(server.requests.length).toBeGreaterThan(30);
  });

  it('is not spent while the page is offline, and its return is noticed at once', async () => {
    const server = fakeServer((asked, index) => {
      if (server.network.online) return rest(asked, index);
      return index % 2 === 0 ? unreachable() : new Promise<Response>(() => undefined);
    });
    server.network.online = false;
    const sent = send(server).then(readAll);
    await server.clock.advance(3_600_000);
    server.network.online = true;
    server.network.tell('online');
    await server.clock.settleAll();
    expect(await sent).toEqual(CHUNKS);
  });

  it('is not spent by a laptop that sleeps', async () => {
    let isBack = false;
    const server = fakeServer((asked, index) => {
      if (index === 1) server.sleep(8 * 3_600_000);
      return isBack ? rest(asked, index) : unreachable();
    });
    const sent = send(server).then(readAll);
    await server.clock.advance(5_000);
    isBack = true;
    expect(await server.finish(sent)).toEqual(CHUNKS);
  });
});

describe('a silent connection', () => {
  const silentAfterTwo: Answerer = (asked, index) =>
    index === 0 ? streamOf(framesOf(CHUNKS.slice(0, 2)).join(''), { open: true }) : rest(asked, index);

  it('is dead after two missed heartbeats', async () => {
    const server = fakeServer(silentAfterTwo);
    const sent = send(server).then(readAll);
    await server.clock.advance(29_000);
    expect(server.requests).toHaveLength(1);
    await server.clock.advance(2_000);
    expect(server.requests).toHaveLength(2);
    expect(server.requests[0]?.signal.aborted).toBe(true);
    expect(server.requests[1]?.headers.get('last-event-id')).toBe(offset(2));
    expect(await sent).toEqual(CHUNKS);
  });

  it('is alive as long as its heart beats', async () => {
    const { response, write } = openStream();
    const server = fakeServer(() => response);
    const sent = send(server).then(readAll);
    for (let beats = 0; beats < 40; beats += 1) {
      await server.clock.advance(15_000);
      write(': heartbeat\n\n');
    }
    await server.clock.settleAll();
    write(WHOLE);
    expect(await server.finish(sent)).toEqual(CHUNKS);
    expect(server.requests).toHaveLength(1);
  });

  it('that has not even answered is dead too', async () => {
    const server = fakeServer((asked, index) =>
      index === 0 ? new Promise<Response>(() => undefined) : rest(asked, index),
    );
    expect(await server.finish(send(server).then(readAll))).toEqual(CHUNKS);
    expect(server.requests.map(({ method }) => method)).toEqual(['POST', 'POST']);
  });

  it('is replaced when the network comes back', async () => {
    const server = fakeServer(silentAfterTwo);
    const sent = send(server).then(readAll);
    await server.clock.advance(1_000);
    server.network.tell('online');
    await server.clock.advance(250);
    expect(await sent).toEqual(CHUNKS);
  });

  it('is replaced when somebody looks at a page that missed a heartbeat, and not before', async () => {
    const server = fakeServer(silentAfterTwo);
    const sent = send(server).then(readAll);
    await server.clock.advance(10_000);
    server.network.tell('visible');
    await server.clock.advance(5_000);
    expect(server.requests).toHaveLength(1);
    await server.clock.advance(2_000);
    server.network.tell('visible');
    await server.clock.advance(250);
    expect(await sent).toEqual(CHUNKS);
  });
});

describe('a resume', () => {
  const resume = (server: ReturnType<typeof fakeServer>): ReturnType<typeof server.transport.reconnectToStream> =>
    server.transport.reconnectToStream({ chatId: 'a/b' });

  it('of a thread where nothing goes on is null', async () => {
    const server = fakeServer(() => new Response(null, { status: 204 }));
    expect(await server.finish(resume(server))).toBeNull();
    expect(server.requests[0]?.path).toBe('/api/chat/a%2Fb/stream');
    expect(server.requests[0]?.headers.get('last-event-id')).toBeNull();
  });

  it('that breaks asks for the run that it was reading, not for the thread', async () => {
    const server = fakeServer((asked, index) => (index === 0 ? streamOf(WHOLE, { cutAt: 150 }) : rest(asked, index)));
    expect(await server.finish(resume(server).then(readAll))).toEqual(CHUNKS);
    expect(server.requests[1]?.path).toBe(`/api/chat/${RUN}~0/stream`);
  });
});

describe('an abort', () => {
  it('is a disconnect: nothing is posted', async () => {
    const server = fakeServer(() => streamOf(framesOf(CHUNKS.slice(0, 2)).join(''), { open: true }));
    const controller = new AbortController();
    const sent = send(server, { signal: controller.signal }).then(readAll);
    await server.clock.settleAll();
    controller.abort();
    await expect(sent).rejects.toThrow('aborted');
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]?.signal.aborted).toBe(true);
    await server.clock.advance(600_000);
    expect(server.requests).toHaveLength(1);
    expect(server.clock.pending).toBe(0);
  });

  it('ends the wait for the next try', async () => {
    const server = fakeServer(unreachable);
    const controller = new AbortController();
    const sent = send(server, { signal: controller.signal });
    sent.catch(() => undefined);
    await server.clock.settleAll();
    controller.abort();
    await expect(sent).rejects.toThrow('aborted');
    expect(server.clock.pending).toBe(0);
  });

  it('may come by cancelling the stream', async () => {
    const server = fakeServer(() => streamOf(framesOf(CHUNKS.slice(0, 2)).join(''), { open: true }));
    const stream = await send(server);
    await stream.cancel();
    await server.clock.settleAll();
    expect(server.requests[0]?.signal.aborted).toBe(true);
    expect(server.clock.pending).toBe(0);
  });
});
