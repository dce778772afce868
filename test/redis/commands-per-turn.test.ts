import { createOpenAI } from '@ai-sdk/openai';
import { tool } from 'ai';
import { createRuntime, DurableAgent } from 'everturn';
import { upstashStore } from 'everturn/upstash';
import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { startModelServer } from '../../examples/model-server/server.ts';
import { describeUnless } from '../support/describe-unless.ts';
import { noRedis, startRedis } from '../support/redis.ts';
import { startUpstashProxy } from '../support/upstash-proxy.ts';

/** About 60 tokens a second, as a model writes them. */
const PACING_MS = 16;
const ANSWER = Array.from({ length: 120 }, (_, index) => `word${index}`).join(' ');

/** Calls of commands, those within scripts among them: what Upstash bills. */
async function commandsOf(admin: Redis): Promise<number> {
  const stats = await admin.info('commandstats');
  const calls = [...stats.matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)];
  const ours = new Set(['info', 'config|get', 'client|setinfo', 'hello', 'select', 'subscribe', 'ping']);
  return calls.reduce((sum, [, name = '', count]) => (ours.has(name) ? sum : sum + Number(count)), 0);
}

describeUnless(noRedis, 'what a turn of an agent costs at Upstash', () => {
  it('is a few requests, and as many commands as docs/redis.md says', async () => {
    const server = await startRedis();
    const proxy = await startUpstashProxy(server.url);
    const admin = new Redis(server.url);
    const models = await startModelServer({
      pacingMs: PACING_MS,
      scenarios: [
        {
          name: 'ask',
          matches: /weather/i,
          replies: [{ toolCalls: [{ name: 'look', arguments: {} }] }, { text: ANSWER }],
        },
      ],
    });
    const agent = new DurableAgent({
      model: createOpenAI({ baseURL: models.baseURL, apiKey: 'local' })('gpt-5-mini'),
      tools: { look: tool({ description: 'Looks', inputSchema: z.object({}), execute: () => 'Sunny.' }) },
    });
    const runtime = createRuntime({ store: upstashStore({ url: proxy.url, token: proxy.token }), agents: { agent } });
    try {
      // What is done once per process comes first.
      await (await runtime.start(agent, { prompt: 'What is the weather?' })).result();
      const [commands, requests] = [await commandsOf(admin), proxy.counted.requests];
      const run = await runtime.start(agent, { prompt: 'What is the weather?' });
      let chunks = 0;
      for await (const _ of run.stream()) chunks += 1;
      const { turns } = await run.result();
      const perTurn = {
        requests: Math.round((proxy.counted.requests - requests) / turns),
        commands: Math.round(((await commandsOf(admin)) - commands) / turns),
      };
      console.log(`${turns} turns, ${chunks} chunks: ${JSON.stringify(perTurn)} a turn`);
      expect(perTurn.requests).toBeLessThan(40);
      expect(perTurn.commands).toBeLessThan(260);
    } finally {
      await runtime.close();
      await models.close();
      await admin.quit();
      await proxy.close();
      await server.remove();
    }
  }, 60_000);
});
