// One process asks:                 node examples/approval.ts
// Another, minutes or days later:   node examples/approval.ts approve 20
// Or without any code:              npx everturn inspect approvals --store approval.db
import { setTimeout as delay } from 'node:timers/promises';
import { openai } from '@ai-sdk/openai';
import { tool } from 'ai';
import { type AgentResult, createRuntime, DurableAgent } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { z } from 'zod';

const payment = z.object({ to: z.string(), euros: z.number().positive() });
const pay = tool({
  description: 'Pay somebody',
  inputSchema: payment,
  execute: ({ to, euros }) => `Paid ${euros} euros to ${to}.`,
});
const agent = new DurableAgent({
  model: openai('gpt-5-mini'),
  tools: { pay },
  toolApproval: { pay: 'user-approval' },
});
const runtime = createRuntime({ store: sqliteStore('approval.db'), agents: { treasurer: agent } });
const [command = 'ask', euros = '20'] = process.argv.slice(2);

if (command === 'ask') {
  const run = await runtime.start(agent, { prompt: 'Please pay Ada 89 euros.' });
  while (['ready', 'running'].includes(await run.status)) await delay(20);
  console.log(`The run ${run.id} is ${await run.status}. This process ends, and the run stays in approval.db.`);
} else {
  const { items: waiting } = await runtime.approvals.list();
  for (const { id, tool, input } of waiting) console.log(`${id} wants to ${tool} ${JSON.stringify(input)}`);
  for (const { id, run, input } of waiting) {
    // What does not fit the tool's schema is refused here, and the approval stays open.
    const edited = { ...payment.parse(input), euros: Number(euros) };
    const { status } = await runtime.approvals.approve(id, { by: 'ben', input: edited });
    console.log(`${id} is ${status} with ${euros} euros.`);
    console.log((await runtime.getRun<AgentResult>(run).result()).text);
  }
}
await runtime.close();
