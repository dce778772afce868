/** More rows for the table of features: what an agent is put together with. */

import { experimental_createSteering, isStepCount, tool, ToolLoopAgent } from 'ai';
import { z } from 'zod';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import { mcpTools } from '../../src/tools/mcp.ts';
import { modelOf, ran } from './features.ts';
import type { Feature, Probe } from './features.ts';
import { mcpServer } from './memory-mcp.ts';
import { call, scriptedModel, text } from './scripted.ts';

const prompt = 'Go.';

function look(probe: Probe) {
  return tool({ inputSchema: z.object({}), execute: () => (ran(probe, 'look'), 'seen') });
}

interface Other {
  generate(options: { prompt: string; abortSignal?: AbortSignal }): PromiseLike<{ text: string }>;
}

function asksAnother(probe: Probe, other: Other) {
  return tool({
    inputSchema: z.object({}),
    execute: async (_input, { abortSignal }) => {
      ran(probe, 'ask');
      return (await other.generate({ prompt: 'You go.', ...(abortSignal === undefined ? {} : { abortSignal }) })).text;
    },
  });
}

export const composedFeatures: Feature[] = [
  {
    name: 'time-outs that are kept',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [{ content: [call('look', {})] }, { content: [text('Done.')] }]),
        tools: { look: look(probe) },
        timeout: { totalMs: 60_000, stepMs: 60_000, toolMs: 60_000 },
      },
      options: { prompt },
    }),
  },
  {
    name: 'a tool that takes longer than its time-out',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [{ content: [call('hang', {})] }, { content: [text('It took too long.')] }]),
        tools: {
          hang: tool({
            inputSchema: z.object({}),
            execute: (_input, { abortSignal }) => {
              ran(probe, 'hang');
              return new Promise<string>((_, reject) =>
                abortSignal?.addEventListener('abort', () => reject(new Error('Aborted.'))),
              );
            },
          }),
        },
        timeout: { toolMs: 20 },
      },
      options: { prompt },
    }),
  },
  {
    name: 'tools of an MCP server',
    runsAgain: /^prepare$/,
    build: (probe) => {
      const server = mcpServer(() => ran(probe, 'weather'));
      const weather = mcpTools('weather', server.connect);
      return {
        settings: {
          model: modelOf(probe, [{ content: [call('weather', { city: 'Bern' })] }, { content: [text('Sunny.')] }]),
          prepareCall: async (args: object) => {
            probe.log.push('prepare');
            return { ...args, tools: await weather.tools() };
          },
        },
        options: { prompt },
      };
    },
  },
  {
    name: 'a plain agent in a tool',
    build: (probe) => {
      // What its model does is a part of the tool, and as little recorded as the rest of it.
      const other = new ToolLoopAgent({ model: scriptedModel([{ content: [text('By the other.')] }]) });
      return {
        settings: {
          model: modelOf(probe, [{ content: [call('ask', {})] }, { content: [text('Asked.')] }]),
          tools: { ask: asksAnother(probe, other) },
        },
        options: { prompt },
      };
    },
  },
  {
    name: 'a durable agent in a tool',
    build: (probe) => {
      const other = new DurableAgent({
        id: 'other',
        model: modelOf(probe, [{ content: [call('look', {})] }, { content: [text('By the other.')] }]),
        tools: { look: look(probe) },
      });
      return {
        settings: {
          model: modelOf(probe, [{ content: [call('ask', {})] }, { content: [text('Asked.')] }]),
          tools: { ask: asksAnother(probe, other) },
        },
        options: { prompt },
      };
    },
  },
  {
    name: 'messages that its caller steers in',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [
          { content: [call('look', {})] },
          { content: [text('Seen.')] },
          { content: [text('And done.')] },
        ]),
        tools: { look: look(probe) },
        stopWhen: isStepCount(5),
      },
      // Each execution of the workflow says it again, as its code does.
      get options() {
        const steering = experimental_createSteering();
        void steering.steer('Be quick.');
        void steering.queue('And then?');
        return { prompt, experimental_steering: steering };
      },
    }),
  },
];
