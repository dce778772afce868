/** What a reader at the other end of a socket sees: everturn's server beside a plain one, each in a process of its own. */

import { startProcess } from './child.ts';
import type { BenchProcess } from './child.ts';
import type {
  Effect,
  HttpRequest,
  Listening,
  OpenedStream,
  ReaderCommand,
  Received,
  ServerArgument,
  ServerCommand,
  WaitingThread,
} from './http-wire.ts';
import { inTurns, machineNow } from './measure.ts';
import type { Turns } from './measure.ts';
import { toFigure, toPlainFigure } from './report.ts';
import type { Bench, BenchContext, Figure, StoreName } from './report.ts';

const RATE = 100;
const MANY = 10_000;
const REPLAYED = 5_000;
const READERS = 1_000;
const HISTORY_BYTES = 5_000_000;
const TOOL_OUTPUT = '"tool-output-available"';
const STALLED = { count: 32_000, bytes: 1_000 };

export const http: Bench = {
  name: 'http',
  leavesOut:
    'browsers; TLS; a network; a provider. Readers share two cores with the server; those that are counted are plain sockets',
  run: async (context) => [
    ...(await measureStreams(context, 'sqlite')),
    ...(await measureApproval(context)),
    ...(await measureStreams(context, 'memory')),
  ],
};

interface Site {
  server: Server;
  floor: Server;
  reader: BenchProcess;
  store: StoreName;
  quick: boolean;
}

interface Server {
  url: string;
  ask(command: ServerCommand): Promise<unknown>;
}

async function measureStreams(context: BenchContext, store: StoreName): Promise<Figure[]> {
  return withSite(context, { store, warm: true }, async (site) => [
    await firstToken(site),
    ...(await latency(site)),
    await rate(site),
    ...(await manyReaders(site)),
    await stalledReader(site),
    await reconnect(site),
    await replay(site),
  ]);
}

async function measureApproval(context: BenchContext): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const warm of [true, false]) {
    figures.push(...(await withSite(context, { store: 'sqlite', warm }, (site) => approval(site, warm))));
  }
  return figures;
}

async function withSite<T>(
  context: BenchContext,
  { store, warm }: { store: StoreName; warm: boolean },
  use: (site: Site) => Promise<T>,
): Promise<T> {
  const path = store === 'memory' ? null : context.file('http');
  const processes = [
    startProcess(new URL('http-server-process.ts', import.meta.url), { path, warm } satisfies ServerArgument, {
      execArgv: ['--expose-gc'],
    }),
    startProcess(new URL('http-floor-process.ts', import.meta.url), null),
    startProcess(new URL('http-reader-process.ts', import.meta.url), null),
  ] as const;
  const [ours, plain, reader] = processes;
  try {
    const [server, floor] = [await listening(ours), await listening(plain)];
    await reader.answer();
    return await use({ server, floor, reader, store, quick: context.quick });
  } finally {
    for (const { process } of processes) process.disconnect();
    await Promise.all(processes.map(({ ended }) => ended));
  }
}

async function listening(server: BenchProcess): Promise<Server> {
  const { url } = (await server.answer()) as Listening;
  return { url, ask: (command) => server.ask(command) };
}

/** The word tells when the provider made it. */
async function firstToken(site: Site): Promise<Figure> {
  const { store } = site;
  const turns = await inTurns({
    rounds: site.quick ? 10 : 50,
    warmUp: 5,
    floor: () => firstTokenOf(site, site.floor),
    ours: () => firstTokenOf(site, site.server),
  });
  return toFigure('first token over HTTP, after the provider', turns, {
    store,
    unit: 'ms',
    floor: 'node:http',
    atMost: 3,
  });
}

async function firstTokenOf(site: Site, { url }: Server): Promise<number> {
  const id = `first-${machineNow()}`;
  const body = { id, messages: [{ id: 'm1', role: 'user', parts: [{ type: 'text', text: 'Hello' }] }] };
  await read(site, { kind: 'open', url, request: { path: '/api/chat', body }, readers: 1 });
  return (await collect(site, 1)).p50;
}

async function latency(site: Site): Promise<Figure[]> {
  const count = site.quick ? 100 : 500;
  const p99: Turns = { ours: [], floor: [] };
  const p50 = await inTurns({
    rounds: site.quick ? 2 : 5,
    floor: async () => {
      const received = await paced(site, site.floor, { readers: 1, count });
      p99.floor.push(received.p99);
      return received.p50;
    },
    ours: async () => {
      const received = await paced(site, site.server, { readers: 1, count });
      p99.ours.push(received.p99);
      return received.p50;
    },
  });
  const what = `write to reader over HTTP at ${RATE} chunks/s`;
  const options = { store: site.store, unit: 'ms', floor: 'node:http' } as const;
  return [
    toFigure(`${what}, p50`, p50, { ...options, atMost: 1.5 }),
    toFigure(`${what}, p99`, { ours: p99.ours.slice(1), floor: p99.floor.slice(1) }, options),
  ];
}

async function manyReaders(site: Site): Promise<Figure[]> {
  const count = site.quick ? 200 : 300;
  const last: number[] = [];
  const p50 = await inTurns({
    rounds: site.quick ? 1 : 3,
    floor: async () => (await paced(site, site.floor, { readers: READERS, count })).p50,
    ours: async () => {
      const received = await paced(site, site.server, { readers: READERS, count });
      last.push(received.last.most);
      return received.p50;
    },
  });
  const what = `${READERS.toLocaleString('en-US')} readers at ${RATE} chunks/s`;
  const options = { store: site.store, unit: 'ms' } as const;
  return [
    toFigure(`${what}, p50`, p50, { ...options, floor: 'node:http', atMost: 40 }),
    toPlainFigure(`${what}, last chunk at the last reader`, last.slice(1), { ...options, atMost: 1_000 }),
  ];
}

async function paced(
  site: Site,
  server: Server,
  { readers, count }: { readers: number; count: number },
): Promise<Received> {
  return withStream(server, async ({ stream, counted }) => {
    await read(site, { kind: 'open', url: server.url, request: { path: counted }, readers });
    const received = collect(site, count);
    await server.ask({ kind: 'write', stream, count, perSecond: RATE });
    return received;
  });
}

async function rate(site: Site): Promise<Figure> {
  const turns = await inTurns({
    rounds: site.quick ? 3 : 15,
    warmUp: 3,
    floor: () => rateOf(site, site.floor),
    ours: () => rateOf(site, site.server),
  });
  const what = `${MANY.toLocaleString('en-US')} chunks written and read over HTTP`;
  const figure = toFigure(what, turns, { store: site.store, unit: 'chunks/s', floor: 'node:http' });
  return { ...figure, target: { text: '>= 50000 chunks/s', met: figure.value.median >= 50_000 } };
}

function rateOf(site: Site, server: Server): Promise<number> {
  return withStream(server, async ({ stream, counted }) => {
    await read(site, { kind: 'open', url: server.url, request: { path: counted }, readers: 1 });
    const received = collect(site, MANY);
    const startedAt = machineNow();
    await server.ask({ kind: 'write', stream, count: MANY });
    return (MANY * 1_000) / ((await received).doneAt - startedAt);
  });
}

/** Beside one that takes all: what the server holds for one that takes nothing. */
async function stalledReader(site: Site): Promise<Figure> {
  const held: number[] = [];
  for (let round = 0; round < (site.quick ? 1 : 3); round += 1) {
    const [without, with_] = [await memoryAfter(site, false), await memoryAfter(site, true)];
    held.push((with_ - without) / 1e6);
  }
  const written = (STALLED.count * STALLED.bytes) / 1e6;
  return toPlainFigure(`memory held for a reader that stalls while ${written} MB are written`, held, {
    store: site.store,
    unit: 'MB',
    atMost: 2,
  });
}

function memoryAfter(site: Site, stalled: boolean): Promise<number> {
  const { server } = site;
  return withStream(server, async ({ stream, counted }) => {
    const before = (await server.ask({ kind: 'memory' })) as number;
    await read(site, { kind: 'open', url: server.url, request: { path: counted }, readers: 1, stalled });
    const received = collect(site, STALLED.count);
    await server.ask({ kind: 'write', stream, ...STALLED });
    const after = (await server.ask({ kind: 'memory' })) as number;
    await received;
    return after - before;
  });
}

async function reconnect(site: Site): Promise<Figure> {
  const turns = await withStored(site, MANY, (ours, floor) =>
    inTurns({
      rounds: site.quick ? 10 : 50,
      warmUp: 5,
      floor: () => reconnectTo(site, site.floor, floor.counted),
      ours: () => reconnectTo(site, site.server, ours.joined),
    }),
  );
  return toFigure('reconnect to the first missed chunk, 10,000 stored', turns, {
    store: site.store,
    unit: 'ms',
    floor: 'node:http',
    atMost: 20,
  });
}

function reconnectTo(site: Site, { url }: Server, path: string): Promise<number> {
  const at = Math.floor(Math.random() * (MANY - 200)) + 100;
  const request: HttpRequest = { path, headers: { 'last-event-id': String(at) } };
  return read<number>(site, { kind: 'request', url, request, until: `id: ${String(at + 1).padStart(16, '0')}\n` });
}

async function replay(site: Site): Promise<Figure> {
  const turns = await withStored(site, REPLAYED, (ours, floor) =>
    inTurns({
      rounds: site.quick ? 5 : 25,
      warmUp: 3,
      floor: () => replayOf(site, site.floor, floor),
      ours: () => replayOf(site, site.server, ours),
    }),
  );
  return toFigure(`replay of ${REPLAYED.toLocaleString('en-US')} deltas into a message`, turns, {
    store: site.store,
    unit: 'ms',
    floor: 'node:http, each delta',
    atMost: 30,
  });
}

function replayOf(site: Site, { url }: Server, { joined }: OpenedStream): Promise<number> {
  return read<number>(site, { kind: 'replay', url, request: { path: joined }, deltas: REPLAYED });
}

async function withStored(
  { server, floor }: Site,
  count: number,
  use: (ours: OpenedStream, floor: OpenedStream) => Promise<Turns>,
): Promise<Turns> {
  return withStream(server, async (ours) => {
    await server.ask({ kind: 'write', stream: ours.stream, count });
    return withStream(floor, async (plain) => {
      await floor.ask({ kind: 'write', stream: plain.stream, count });
      return use(ours, plain);
    });
  });
}

async function approval(site: Site, warm: boolean): Promise<Figure[]> {
  const answered: Turns = { ours: [], floor: [] };
  const seen = await inTurns({
    rounds: site.quick ? 2 : 9,
    floor: () => decide(site, { historyBytes: 0, answered: answered.floor }),
    ours: () => decide(site, { historyBytes: HISTORY_BYTES, answered: answered.ours }),
  });
  const what = `approval with 5 MB of history${warm ? '' : ', after the warm time'}`;
  const options = { store: site.store, unit: 'ms', floor: 'without history', atMost: 50 } as const;
  const measured = { ours: answered.ours.slice(1), floor: answered.floor.slice(1) };
  return [
    toFigure(`${what}: answered`, measured, options),
    toFigure(`${what}: the tool's output at the reader`, seen, options),
  ];
}

/** How long until the tool's output was read. */
async function decide(
  site: Site,
  { historyBytes, answered }: { historyBytes: number; answered: number[] },
): Promise<number> {
  const { url } = site.server;
  const { approval, path } = (await site.server.ask({ kind: 'ask-approval', historyBytes })) as WaitingThread;
  const request = { path: `/api/approvals/${approval}/decision`, body: { approved: true } };
  const effect = { kind: 'effect', url, stream: { path }, request, until: TOOL_OUTPUT } as const;
  const { answeredMs, seenMs } = await read<Effect>(site, effect);
  answered.push(answeredMs);
  return seenMs;
}

async function withStream<T>(server: Server, use: (opened: OpenedStream) => Promise<T>): Promise<T> {
  const opened = (await server.ask({ kind: 'open' })) as OpenedStream;
  try {
    return await use(opened);
  } finally {
    await server.ask({ kind: 'close', stream: opened.stream });
  }
}

async function read<T>({ reader }: Site, command: ReaderCommand): Promise<T> {
  return (await reader.ask(command)) as T;
}

function collect(site: Site, count: number): Promise<Received> {
  return read<Received>(site, { kind: 'collect', count });
}
