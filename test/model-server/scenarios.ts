/** Scenarios and tools that the tests of both model servers share. */
import { tool } from 'ai';
import type { ToolSet } from 'ai';
import { z } from 'zod';
import type { Scenario } from '../../examples/model-server/scenarios.ts';

export const weatherFlow: Scenario = {
  name: 'weather',
  matches: /weather/i,
  replies: [
    { text: 'Let me look at both cities for you.', toolCalls: [callFor('Oslo'), callFor('Bergen')] },
    { toolCalls: [{ name: 'convert', arguments: { celsius: 12 } }] },
    (conversation) => ({ text: conversation.toolResults.map((result) => result.output).join(' and ') }),
  ],
};

export const storyFlow: Scenario = {
  name: 'story',
  matches: /story/i,
  replies: [{ text: 'Once upon a time a small agent wrote a long story and never lost a word of it.' }],
};

export const flows: Scenario[] = [weatherFlow, storyFlow];

export const weatherTools: ToolSet = {
  weather: tool({
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `${city}: 12 degrees`,
  }),
  convert: tool({
    inputSchema: z.object({ celsius: z.number() }),
    execute: async ({ celsius }) => ({ fahrenheit: celsius * 1.8 + 32 }),
  }),
};

function callFor(city: string): { name: string; arguments: { city: string } } {
  return { name: 'weather', arguments: { city } };
}

/** The random tokens in a text, in order. */
export function tokensIn(text: string): string[] {
  return text.match(/tk_[0-9a-f]{8}/g) ?? [];
}
