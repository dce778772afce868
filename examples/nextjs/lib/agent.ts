import { createOpenAI } from '@ai-sdk/openai';
import { DurableAgent } from 'everturn';
import { tools } from './tools';

// OPENAI_BASE_URL and OPENAI_API_KEY choose the model's server.
const openai = createOpenAI({});

export const agent = new DurableAgent({
  model: openai('gpt-5-mini'),
  instructions: 'You plan trips. Look at the weather before you book.',
  tools,
  toolApproval: { bookTrip: 'user-approval' },
});
