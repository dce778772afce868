/** An application's agent, as it would be written without a thought of tests. */

import { openai } from '@ai-sdk/openai';
import { tool } from 'ai';
import { DurableAgent, getToolMetadata, sleep, step, workflow } from 'everturn';
import type { Workflow } from 'everturn';
import { z } from 'zod';
import { remind, transfer } from './bank.ts';

const refund = tool({
  description: 'Pay money back',
  inputSchema: z.object({ amount: z.number() }),
  execute: ({ amount }) => transfer(amount, { idempotencyKey: getToolMetadata().idempotencyKey }),
});

export const support: DurableAgent<never, { refund: typeof refund }> = new DurableAgent({
  model: openai('gpt-5-mini'),
  tools: { refund },
  toolApproval: { refund: 'user-approval' },
});

export const reminder: Workflow<{ customer: string }, string> = workflow('reminder', async ({ customer }) => {
  await sleep('2 days');
  return step('remind', () => remind(customer));
});
