import { tool } from 'ai';
import { getToolMetadata } from 'everturn';
import { appendFile } from 'node:fs/promises';
import { z } from 'zod';

/** Where calls leave a trace, if a test asks for it. */
const log = process.env['TOOL_LOG'];

async function trace(what: string, city: string): Promise<void> {
  if (log === undefined) return;
  const { idempotencyKey, attempt } = getToolMetadata();
  await appendFile(log, `${JSON.stringify({ what, city, idempotencyKey, attempt, at: Date.now() })}\n`);
}

export const tools = {
  readWeather: tool({
    description: 'The weather in a city.',
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => {
      await trace('start', city);
      await new Promise((resolve) => setTimeout(resolve, 400));
      await trace('end', city);
      return { city, degrees: 10 + city.length };
    },
  }),
  bookTrip: tool({
    description: 'Book a trip to a city. A person has to approve it.',
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => {
      await trace('start', city);
      await trace('end', city);
      return { booked: city };
    },
  }),
};
