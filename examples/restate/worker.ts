/** Serves the agent of hello.ts to a Restate server: `node worker.ts <port>`. */
import { openai } from '@ai-sdk/openai';
import { serve, workflow } from '@restatedev/restate-sdk';
import type { WorkflowContext } from '@restatedev/restate-sdk';
import { tool } from 'ai';
import { DurableAgent, getToolMetadata } from 'everturn';
import { z } from 'zod';
import { withRestate } from './restate-context.ts';

const { KITCHEN_URL = 'http://127.0.0.1:4020', SECRET = 'a secret of the deployment' } = process.env;

const orderPizza = tool({
  description: 'Order a pizza',
  inputSchema: z.object({ kind: z.string() }),
  execute: async ({ kind }) => {
    const { idempotencyKey: key, attempt, toolCallId } = getToolMetadata();
    const record = { key, attempt, tool: 'orderPizza', toolCallId, pid: process.pid, time: Date.now() };
    const response = await fetch(KITCHEN_URL, { method: 'POST', body: JSON.stringify(record) });
    if (!response.ok) throw new Error(`The kitchen answered ${response.status}.`);
    return `One ${kind} is in the oven.`;
  },
});
const agent = new DurableAgent({ model: openai('gpt-5-mini'), tools: { orderPizza } });

const hello = workflow({
  name: 'hello',
  handlers: {
    run: (ctx: WorkflowContext, { prompt }: { prompt: string }): Promise<string> =>
      withRestate(ctx, { secret: SECRET, body: async () => (await agent.generate({ prompt })).text }),
  },
});

await serve({ services: [hello], port: Number(process.argv[2] ?? 9080) });
console.log('ready');
