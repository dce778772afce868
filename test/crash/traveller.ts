/**
 * The agent that the crash tests kill: three parallel tools (one acts, one sleeps between two steps, one is called over MCP), a payment that
 * a person approves, and one tool more. Each effect is told to the witness.
 */
import { createMCPClient } from '@ai-sdk/mcp';
import { createOpenAI } from '@ai-sdk/openai';
import { tool } from 'ai';
import { DurableAgent, DurableError, getStepMetadata, getToolMetadata, mcpTools, sleep, step } from 'everturn';
import type { McpTools } from 'everturn';
import { z } from 'zod';
import type { Scenario } from '../../examples/model-server/scenarios.ts';
import { startMcpServer } from '../support/mcp-server.ts';
import type { McpServer } from '../support/mcp-server.ts';
import { tellWitness } from '../support/witness.ts';
import type { WitnessRecord } from '../support/witness.ts';

export interface Surroundings {
  modelUrl: string;
  witnessUrl: string;
  mcpUrl: string;
}

/** Its turns. */
export const TURNS = 4;
/** Tools by name, with the effects of one whole execution. */
export const EFFECTS: Readonly<Record<string, number>> = { bookHotel: 1, rest: 2, weather: 1, charge: 1, sendMail: 1 };

/** What the model says. */
export const travelScenario: Scenario = {
  name: 'travel',
  matches: /travel/i,
  replies: [
    {
      text: 'I see to the hotel and the weather of that place.',
      toolCalls: [
        { name: 'bookHotel', arguments: { city: 'Oslo' } },
        { name: 'rest', arguments: {} },
        { name: 'weather', arguments: { city: 'Oslo' } },
      ],
    },
    { text: 'The hotel has a room, it has to be paid.', toolCalls: [{ name: 'charge', arguments: { amount: 89 } }] },
    {
      text: 'Paid, now you get a letter.',
      toolCalls: [{ name: 'sendMail', arguments: { text: 'Have a good time.' } }],
    },
    { text: 'All is done, have a good time there.' },
  ],
};

export function createTraveller(at: Surroundings): ReturnType<typeof travellerOf> {
  return travellerOf(at);
}

function travellerOf({ modelUrl, witnessUrl, mcpUrl }: Surroundings) {
  const weather = weatherTools(mcpUrl);
  return new DurableAgent({
    model: createOpenAI({ baseURL: modelUrl, apiKey: 'local' })('gpt-5-mini'),
    tools: travelTools(witnessUrl),
    toolApproval: { charge: 'user-approval' },
    prepareCall: async (args) => ({ ...args, tools: { ...args.tools, ...(await weather.tools()) } as never }),
  });
}

function travelTools(witnessUrl: string) {
  const act = async (name: string): Promise<void> => {
    const { idempotencyKey: key, attempt, toolCallId } = getToolMetadata();
    await tellWitness(witnessUrl, { key, attempt, tool: name, toolCallId, pid: process.pid, time: Date.now() });
  };
  const actInStep = (name: string): Promise<void> =>
    step(name, () => {
      const { idempotencyKey: key, attempt } = getStepMetadata();
      const { toolCallId } = getToolMetadata();
      return tellWitness(witnessUrl, { key, attempt, tool: 'rest', toolCallId, pid: process.pid, time: Date.now() });
    });
  return {
    bookHotel: tool({
      description: 'Books a hotel',
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => {
        await act('bookHotel');
        return `A room in ${city}.`;
      },
    }),
    rest: tool({
      description: 'Rests',
      inputSchema: z.object({}),
      execute: async () => {
        await actInStep('lie-down');
        await sleep(60);
        await actInStep('get-up');
        return 'Rested.';
      },
    }),
    charge: tool({
      description: 'Charges the card',
      inputSchema: z.object({ amount: z.number() }),
      execute: async ({ amount }) => {
        await act('charge');
        return `Charged ${amount} EUR.`;
      },
    }),
    sendMail: tool({
      description: 'Sends a letter',
      inputSchema: z.object({ text: z.string() }),
      execute: async ({ text }) => {
        await act('sendMail');
        return `Sent: ${text}`;
      },
    }),
  };
}

/** Calls tell the server which attempt of which tool they are. */
function weatherTools(url: string): McpTools {
  const send: typeof fetch = (input, init) => {
    const headers = new Headers(init?.headers);
    const call = callOfTool();
    if (call !== null) headers.set('x-call', JSON.stringify({ ...call, pid: process.pid }));
    return fetch(input, { ...init, headers });
  };
  return mcpTools('weather', () => createMCPClient({ transport: { type: 'http', url, fetch: send } }));
}

function callOfTool(): { key: string; attempt: number; toolCallId: string } | null {
  try {
    const { idempotencyKey: key, attempt, toolCallId } = getToolMetadata();
    return { key, attempt, toolCallId };
  } catch (error) {
    if (DurableError.is(error, 'outside_run')) return null;
    throw error;
  }
}

/** The MCP server of the agent's `weather`; each call is an effect. */
export function startWeatherServer(witnessUrl: string): Promise<McpServer> {
  return startMcpServer({
    weather: {
      description: 'Weather of a city',
      inputSchema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
      call: async ({ city }, headers) => {
        const { key, attempt, toolCallId, pid } = JSON.parse(String(headers['x-call'])) as WitnessRecord;
        await tellWitness(witnessUrl, { key, attempt, tool: 'weather', toolCallId, pid, time: Date.now() });
        return `Rain in ${String(city)}.`;
      },
    },
  });
}
