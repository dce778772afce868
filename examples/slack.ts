// An approval that is answered from Slack; docs/human-in-the-loop.md says what to prepare there.
//   SLACK_TOKEN=xoxb-... SLACK_USER=U012AB3CD node examples/slack.ts
// No key? Run `node examples/model-server/main.ts --port 4010`; OPENAI_BASE_URL=http://127.0.0.1:4010/v1 OPENAI_API_KEY=local
import { openai } from '@ai-sdk/openai';
import { tool } from 'ai';
import { createRuntime, DurableAgent, getToolMetadata, type OnApprovalRequested } from 'everturn';
import { createApp, serve } from 'everturn/server';
import { sqliteStore } from 'everturn/sqlite';
import { z } from 'zod';

const slack = { token: process.env['SLACK_TOKEN'], url: process.env['SLACK_URL'] ?? 'https://slack.com/api' };
const port = Number(process.env['PORT'] ?? 3000);

const tellSlack: OnApprovalRequested = async ({ reason, approval, signal }) => {
  const to = process.env['SLACK_USER'] ?? '';
  const { approve, deny, view } = await approval.links({ to });
  const text = `${reason === 'reminder' ? 'Still open: ' : ''}${approval.prompt}`;
  const button = (label: string, url: string) => ({ type: 'button', text: { type: 'plain_text', text: label }, url });
  const response = await fetch(`${slack.url}/chat.postMessage`, {
    method: 'POST',
    headers: { authorization: `Bearer ${slack.token}`, 'content-type': 'application/json; charset=utf-8' },
    body: JSON.stringify({
      channel: to,
      text,
      blocks: [
        { type: 'section', text: { type: 'plain_text', text } },
        { type: 'actions', elements: [button('Approve', approve), button('Deny', deny), button('Look', view)] },
      ],
    }),
    signal,
  });
  const { ok, error } = (await response.json()) as { ok: boolean; error?: string };
  if (!ok) throw new Error(`Slack answered "${error}".`);
};

const pay = tool({
  description: 'Pay somebody',
  inputSchema: z.object({ to: z.string(), euros: z.number().positive() }),
  execute: ({ to, euros }) => `Paid ${euros} euros to ${to}. (${getToolMetadata().idempotencyKey})`,
});
const agent = new DurableAgent({
  model: openai('gpt-5-mini'),
  tools: { pay },
  toolApproval: { pay: 'user-approval' },
  durable: {
    approvals: {
      pay: { prompt: ({ to, euros }) => `Pay ${euros} euros to ${to}?`, remindAt: '4 hours', expiresIn: '1 day' },
    },
    onApprovalRequested: tellSlack,
  },
});
const runtime = createRuntime({
  store: sqliteStore('slack.db'),
  agents: { treasurer: agent },
  publicUrl: process.env['PUBLIC_URL'] ?? `http://localhost:${port}/api`,
});
const server = await serve(createApp(runtime), { port });
const run = await runtime.start(agent, { id: 'payday', prompt: 'Please pay Ada 89 euros.' });
console.log('Look into Slack. The run waits, also if you end this process and start it again.');
console.log((await run.result()).text);
await server.close();
await runtime.close();
