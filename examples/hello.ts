// No key? Run `node examples/model-server/main.ts --port 4010`; OPENAI_BASE_URL=http://127.0.0.1:4010/v1 OPENAI_API_KEY=local
import { appendFileSync } from 'node:fs';
import { openai } from '@ai-sdk/openai';
import { tool, type UIMessageChunk } from 'ai';
import { createRuntime, DurableAgent, getToolMetadata } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { z } from 'zod';

const orderPizza = tool({
  description: 'Order a pizza',
  inputSchema: z.object({ kind: z.string() }),
  execute: ({ kind }) => {
    appendFileSync('orders.txt', `${kind} ${getToolMetadata().idempotencyKey}\n`);
    return `One ${kind} is in the oven.`;
  },
});
const agent = new DurableAgent({ model: openai('gpt-5-mini'), tools: { orderPizza } });
const runtime = createRuntime({ store: sqliteStore('hello.db'), agents: { hello: agent } });
const run = await runtime.start(agent, { id: 'hello', prompt: 'Please order me a pizza Margherita.' });
for await (const chunk of run.stream<UIMessageChunk>()) {
  if (chunk.type === 'text-delta') process.stdout.write(chunk.delta);
  if (chunk.type === 'finish-step' || chunk.type === 'reset-step') console.log(` (${chunk.type})`);
}
await run.result();
await runtime.close();
