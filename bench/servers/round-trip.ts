/**
 * Stores that are 20 ms away: a step over Postgres and Redis against one round trip on the same wire, and how much slower a model runs. The way
 * is a proxy that holds each piece of data back.
 */

import { stepCountIs, ToolLoopAgent } from 'ai';
import { DurableAgent } from 'everturn';
import type { Runtime, Store } from 'everturn';
import { postgresStore } from 'everturn/postgres';
import { redisStore } from 'everturn/redis';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { startPostgres } from '../../test/support/postgres.ts';
import { startRedis } from '../../test/support/redis.ts';
import { startTcpProxy } from '../../test/support/tcp-proxy.ts';
import type { TcpProxy } from '../../test/support/tcp-proxy.ts';
import { kilobyte } from '../floors.ts';
import { inTurns, median, timed } from '../measure.ts';
import { mockModel, promptFor } from '../mock-model.ts';
import { toFigure } from '../report.ts';
import type { Bench, BenchContext, Figure, ServerName } from '../report.ts';
import { measuredWorkflows, medianStep } from '../rounds.ts';
import { withRuntime } from '../runtime.ts';

const WAY_MS = 10;
const STEPS = 30;
const TOKENS = { turns: 0, chunks: 150 };
const TOKEN_MS = 1_000 / 60;

let marks: number[] = [];

const paced = mockModel(async () => {
  await new Promise((resolve) => setTimeout(resolve, TOKEN_MS));
  marks.push(performance.now());
});
const settings = { model: paced, stopWhen: stepCountIs(1) };
const plain = new ToolLoopAgent(settings);
const writer = new DurableAgent(settings);

export const roundTrip: Bench = {
  name: 'round-trip',
  leavesOut: 'lost packets and bandwidth; readers',
  run: async (context) => [...(await overPostgres(context)), ...(await overRedis(context))],
};

async function overPostgres(context: BenchContext): Promise<Figure[]> {
  const server = await startPostgres();
  const proxy = await startTcpProxy(server.port);
  const url = server.url.replace(`:${server.port}`, `:${proxy.port}`);
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('CREATE TABLE steps (key bigserial PRIMARY KEY, body bytea)');
    const body = Buffer.from(JSON.stringify(kilobyte(0)));
    const insert = { name: 'insert', text: 'INSERT INTO steps (body) VALUES ($1)', values: [body] };
    const ask = async (): Promise<void> => void (await client.query(insert));
    return await measure(context, { name: 'postgres', store: postgresStore({ connectionString: url }), proxy, ask });
  } finally {
    await client.end();
    await proxy.close();
    await server.remove();
  }
}

async function overRedis(context: BenchContext): Promise<Figure[]> {
  const server = await startRedis({ appendonly: 'yes', appendfsync: 'everysec' });
  const proxy = await startTcpProxy(server.port);
  const url = `redis://127.0.0.1:${proxy.port}`;
  const client = new Redis(url);
  try {
    const body = JSON.stringify(kilobyte(0));
    const ask = async (): Promise<void> => void (await client.rpush('steps', body));
    return await measure(context, { name: 'redis', store: redisStore({ url }), proxy, ask });
  } finally {
    client.disconnect();
    await proxy.close();
    await server.remove();
  }
}

interface Far {
  name: ServerName;
  store: Store;
  proxy: TcpProxy;
  /** One write by the plain client, over the same way. */
  ask: () => Promise<void>;
}

async function measure(context: BenchContext, { name, store, proxy, ask }: Far): Promise<Figure[]> {
  const rounds = context.quick ? 3 : 9;
  const options = { store, workflows: measuredWorkflows, agents: { writer } };
  return withRuntime(options, async (runtime) => {
    await runtime.list();
    proxy.delayMs = WAY_MS;
    const steps = await inTurns({ rounds, floor: () => medianAsk(ask), ours: () => medianStep(runtime, STEPS) });
    const tokens = await inTurns({ rounds, warmUp: 1, floor: toPlainTokens, ours: () => toDurableTokens(runtime) });
    proxy.delayMs = 0;
    const far = { store: name, unit: 'ms' } as const;
    return [
      toFigure(`step of 1 KB, ${2 * WAY_MS} ms away`, steps, {
        ...far,
        floor: 'a write of the client',
        ratioAtMost: 1.2,
      }),
      toFigure(`${TOKENS.chunks} tokens at 60/s, ${2 * WAY_MS} ms away`, tokens, {
        ...far,
        floor: 'ToolLoopAgent',
        ratioAtMost: 1.03,
      }),
    ];
  });
}

async function medianAsk(ask: () => Promise<void>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < STEPS; i += 1) times.push(await timed(ask));
  return median(times);
}

/** From the first token to the last, as the model was asked for them. */
function tokensTook(): number {
  return (marks.at(-1) ?? Number.NaN) - (marks[0] ?? Number.NaN);
}

async function toPlainTokens(): Promise<number> {
  marks = [];
  const result = await plain.stream({ prompt: promptFor(TOKENS) });
  for await (const chunk of result.toUIMessageStream())
    if (chunk.type === 'error') throw new Error(`The plain agent failed: ${JSON.stringify(chunk)}`);
  return tokensTook();
}

async function toDurableTokens(runtime: Runtime): Promise<number> {
  marks = [];
  await (await runtime.start(writer, { prompt: promptFor(TOKENS) })).result();
  return tokensTook();
}
