/** Features of the SDK's loop, each as an agent and a call. `build` is called for each execution with fresh probes. */

import { dynamicTool, isStepCount, jsonSchema, Output, tool } from 'ai';
import type { ModelMessage } from 'ai';
import { z } from 'zod';
import { call, scriptedModel, text } from './scripted.ts';
import type { ScriptedModel, ScriptedTurn } from './scripted.ts';

export interface Probe {
  /** Tools and user functions that ran, in order. */
  readonly log: string[];
  /** Tools whose execution began, in order. */
  readonly begun: string[];
  readonly models: ScriptedModel[];
}

export interface Built {
  /** Settings of ToolLoopAgent and DurableAgent. */
  settings: Record<string, unknown>;
  /** Arguments of stream and generate. */
  options?: Record<string, unknown>;
}

export interface Feature {
  name: string;
  build: (probe: Probe) => Built;
  /** Default: both. */
  only?: 'stream' | 'generate';
  /** The model fails, for good or at first, and is asked anew if its process died before the call's end was recorded. */
  fails?: true;
  /** What the log has after a replay besides what it had: functions that run again by design. */
  runsAgain?: RegExp;
}

const object = z.object({ x: z.number() });
const prompt = 'Go.';

export function modelOf(probe: Probe, script: ScriptedTurn[] | Parameters<typeof scriptedModel>[0]): ScriptedModel {
  const model = scriptedModel(script);
  probe.models.push(model);
  return model;
}

export function ran(probe: Probe, tool: string): void {
  probe.begun.push(tool);
  probe.log.push(tool);
}

function double(probe: Probe, name = 'double') {
  return tool({
    description: 'Doubles.',
    inputSchema: object,
    execute: ({ x }) => {
      ran(probe, `${name} ${x}`);
      return { twice: x * 2 };
    },
  });
}

const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
function waiting(probe: Probe, { name, ms }: { name: string; ms: number }) {
  return tool({
    inputSchema: object,
    execute: async (): Promise<string> => {
      probe.begun.push(name);
      await delay(ms);
      probe.log.push(name);
      return name;
    },
  });
}

const answer: ScriptedTurn = { content: [text('All done.')] };
const useDouble: ScriptedTurn = { content: [text('I compute. '), call('double', { x: 2 })] };

function withTool(
  script: ScriptedTurn[] = [useDouble, answer],
  settings: Record<string, unknown> = {},
): Feature['build'] {
  return (probe) => ({
    settings: { model: modelOf(probe, script), tools: { double: double(probe) }, ...settings },
    options: { prompt },
  });
}

const approvalHistory = (approved: boolean): ModelMessage[] => [
  { role: 'user', content: 'Go.' },
  {
    role: 'assistant',
    content: [
      { type: 'tool-call', toolCallId: 'double-1', toolName: 'double', input: { x: 2 } },
      { type: 'tool-approval-request', approvalId: 'approval-1', toolCallId: 'double-1' },
    ],
  },
  {
    role: 'tool',
    content: [
      {
        type: 'tool-approval-response',
        approvalId: 'approval-1',
        approved,
        ...(approved ? {} : { reason: 'Not now.' }),
      },
    ],
  },
];

export const features: Feature[] = [
  { name: 'text', build: (probe) => ({ settings: { model: modelOf(probe, [answer]) }, options: { prompt } }) },
  { name: 'a tool', build: withTool() },
  { name: 'messages and instructions', build: withTool(undefined, { instructions: 'Be brief.' }) },
  {
    name: 'parallel tools that end in another order',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [{ content: [call('slow', { x: 1 }), call('fast', { x: 2 })] }, answer]),
        tools: {
          slow: waiting(probe, { name: 'slow', ms: 60 }),
          fast: waiting(probe, { name: 'fast', ms: 1 }),
        },
      },
      options: { prompt },
    }),
  },
  {
    name: 'tools one at a time',
    build: withTool([{ content: [call('double', { x: 1 }, 'a'), call('double', { x: 2 }, 'b')] }, answer], {
      toolCallConcurrency: 1,
    }),
  },
  {
    name: 'a tool that throws',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [{ content: [call('bad', { x: 1 })] }, answer]),
        tools: {
          bad: tool({
            inputSchema: object,
            execute: (): string => {
              ran(probe, 'bad');
              throw new RangeError('Out of range.');
            },
          }),
        },
      },
      options: { prompt },
    }),
  },
  {
    name: 'automatic approval',
    build: (probe) =>
      withTool([useDouble, answer], {
        toolApproval: ({ toolCall }: { toolCall: { toolCallId: string } }) => {
          probe.log.push(`policy ${toolCall.toolCallId}`);
          return { type: 'approved', reason: 'Small.' };
        },
      })(probe),
  },
  {
    name: 'automatic denial',
    build: withTool([useDouble, answer], { toolApproval: { double: { type: 'denied', reason: 'Never.' } } }),
  },
  {
    name: 'an approval that was given',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, (_options, index) => (index === 0 ? answer : answer)),
        tools: { double: { ...double(probe), needsApproval: true } },
      },
      options: { messages: approvalHistory(true) },
    }),
  },
  {
    name: 'an approval that was denied',
    build: (probe) => ({
      settings: { model: modelOf(probe, () => answer), tools: { double: { ...double(probe), needsApproval: true } } },
      options: { messages: approvalHistory(false) },
    }),
  },
  {
    name: 'a client-side tool',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [{ content: [call('locate', {})] }]),
        tools: { locate: tool({ inputSchema: z.object({}), outputSchema: z.string() }) },
      },
      options: { prompt },
    }),
  },
  {
    name: 'a provider-executed tool, sources, files and reasoning',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [
          {
            content: [
              { type: 'reasoning', text: 'Let me think.', providerMetadata: { scripted: { signature: 'sig-1' } } },
              {
                type: 'tool-call',
                toolCallId: 'search-1',
                toolName: 'search',
                input: '{"q":"x"}',
                providerExecuted: true,
                dynamic: true,
              },
              { type: 'tool-result', toolCallId: 'search-1', toolName: 'search', result: { hits: 1 }, dynamic: true },
              { type: 'source', sourceType: 'url', id: 'source-1', url: 'https://example.com', title: 'Example' },
              { type: 'file', mediaType: 'image/png', data: { type: 'data', data: new Uint8Array([1, 2, 3]) } },
              text('Found.'),
            ],
            finish: 'stop',
          },
        ]),
      },
      options: { prompt },
    }),
  },
  {
    name: 'a dynamic tool',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [{ content: [call('any', { anything: true })] }, answer]),
        tools: {
          any: dynamicTool({
            description: 'Anything.',
            inputSchema: jsonSchema({ type: 'object' }),
            execute: (input) => (ran(probe, 'any'), { got: input }),
          }),
        },
      },
      options: { prompt },
    }),
  },
  {
    name: 'a call that is repaired',
    build: (probe) =>
      withTool([{ content: [call('double', { x: '2' })] }, answer], {
        repairToolCall: ({ toolCall }: { toolCall: object }) => ({ ...toolCall, input: '{"x":2}' }),
      })(probe),
  },
  { name: 'a call with invalid input', build: withTool([{ content: [call('double', { y: 2 })] }, answer]) },
  { name: 'a call of an unknown tool', build: withTool([{ content: [call('triple', { x: 2 })] }, answer]) },
  {
    name: 'preliminary results',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [{ content: [call('steps', { x: 3 })] }, answer]),
        tools: {
          steps: tool({
            inputSchema: object,
            async *execute({ x }) {
              ran(probe, 'steps');
              for (let at = 1; at <= x; at += 1) {
                await delay(1);
                yield { at };
              }
            },
          }),
        },
      },
      options: { prompt },
    }),
  },
  {
    name: 'preliminary results of a plain function',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [{ content: [call('steps', { x: 2 })] }, answer]),
        tools: {
          steps: tool({
            inputSchema: object,
            execute: ({ x }) => {
              ran(probe, 'steps');
              return (async function* values() {
                for (let at = 1; at <= x; at += 1) yield { at };
              })();
            },
          }),
        },
      },
      options: { prompt },
    }),
  },
  {
    name: 'toModelOutput',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [useDouble, answer]),
        tools: {
          double: {
            ...double(probe),
            toModelOutput: ({ output }: { output: { twice: number } }) => ({
              type: 'text',
              value: `It is ${output.twice}.`,
            }),
          },
        },
      },
      options: { prompt },
    }),
  },
  {
    name: 'prepareStep that changes model, tools and instructions',
    runsAgain: /^prepare/,
    build: (probe) => {
      const other = modelOf(probe, [useDouble, { content: [text('By another model.')] }]);
      return withTool([useDouble, answer], {
        prepareStep: ({ stepNumber }: { stepNumber: number }) => {
          probe.log.push(`prepare ${stepNumber}`);
          return stepNumber === 0 ? undefined : { model: other, activeTools: [], instructions: 'Go on.' };
        },
      })(probe);
    },
  },
  {
    name: 'prepareCall with call options',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [useDouble, answer]),
        tools: { double: double(probe) },
        callOptionsSchema: z.object({ tone: z.string() }),
        prepareCall: ({ options, ...rest }: { options: { tone: string } }) => ({
          ...rest,
          instructions: `Be ${options.tone}.`,
        }),
      },
      options: { prompt, options: { tone: 'kind' } },
    }),
  },
  { name: 'stopWhen', build: withTool([useDouble, useDouble, answer], { stopWhen: isStepCount(1) }) },
  {
    name: 'an output schema',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [{ content: [text('{"x": 42}')] }]),
        output: Output.object({ schema: object }),
      },
      options: { prompt },
    }),
  },
  {
    name: 'activeTools and toolChoice',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [useDouble, useDouble]),
        tools: { double: double(probe), other: double(probe, 'other') },
        activeTools: ['double'],
        toolChoice: 'required',
        stopWhen: isStepCount(2),
      },
      options: { prompt },
    }),
  },
  {
    name: 'contexts',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [{ content: [call('who', {})] }, answer]),
        tools: {
          who: tool({
            inputSchema: z.object({}),
            contextSchema: z.object({ user: z.string() }),
            execute: (_input, { context }) => (ran(probe, 'who'), context.user),
          }),
        },
        toolsContext: { who: { user: 'Ada' } },
        runtimeContext: { tenant: 'acme' },
      },
      options: { prompt },
    }),
  },
  {
    name: 'callbacks',
    build: (probe) => {
      const log = (name: string) => () => void probe.log.push(name);
      return withTool([useDouble, answer], {
        onStart: log('start'),
        onStepStart: log('step-start'),
        onLanguageModelCallStart: log('model-start'),
        onLanguageModelCallEnd: log('model-end'),
        onToolExecutionStart: log('tool-start'),
        onToolExecutionEnd: log('tool-end'),
        onStepEnd: log('step-end'),
      })(probe);
    },
  },
  {
    name: 'callbacks of a call',
    build: (probe) => {
      const log = (name: string) => () => void probe.log.push(name);
      const built = withTool([useDouble, answer])(probe);
      return {
        ...built,
        options: {
          ...built.options,
          onStart: log('start'),
          onStepEnd: log('step-end'),
          onToolExecutionEnd: log('tool-end'),
        },
      };
    },
  },
  {
    name: 'telemetry',
    runsAgain: /^telemetry-(start|end)$/,
    build: (probe) => {
      const log = (name: string) => () => void probe.log.push(`telemetry-${name}`);
      const integrations = [
        {
          onStart: log('start'),
          onStepStart: log('step-start'),
          onToolExecutionStart: log('tool-start'),
          onStepEnd: log('step-end'),
          onEnd: log('end'),
          executeTool: async ({ execute }: { execute: () => PromiseLike<unknown> }) => {
            probe.log.push('telemetry-tool');
            return execute();
          },
        },
      ];
      return withTool([useDouble, answer], { telemetry: { integrations } })(probe);
    },
  },
  {
    name: 'a transform',
    only: 'stream',
    build: (probe) => {
      const built = withTool([useDouble, answer])(probe);
      const shout = () =>
        new TransformStream({
          transform: (part: { type: string; text?: string }, controller) =>
            controller.enqueue(part.type === 'text-delta' ? { ...part, text: part.text?.toUpperCase() } : part),
        });
      return { ...built, options: { ...built.options, experimental_transform: shout } };
    },
  },
  {
    name: 'a repeated toolCallId in later turns and in one turn',
    build: withTool([
      { content: [call('double', { x: 1 }, 'same')] },
      { content: [call('double', { x: 2 }, 'same')] },
      { content: [call('double', { x: 3 }, 'same'), call('double', { x: 4 }, 'same')] },
      answer,
    ]),
  },
  {
    name: 'a response that was cut off',
    build: (probe) => ({
      settings: { model: modelOf(probe, [{ content: [text('Half of')], finish: 'length' }]) },
      options: { prompt },
    }),
  },
  {
    name: 'a refusal that is retried',
    fails: true,
    build: (probe) => ({
      settings: {
        model: modelOf(probe, (_options, index) =>
          index === 0 ? { content: [], refuse: () => Object.assign(new Error('Slow down.'), apiError(429)) } : answer,
        ),
      },
      options: { prompt },
    }),
  },
  {
    name: 'a refusal that is final',
    fails: true,
    build: (probe) => ({
      settings: {
        model: modelOf(probe, () => ({ content: [], refuse: () => new Error('No such model.') })),
        maxRetries: 0,
        onError: () => {},
      },
      options: { prompt },
    }),
  },
  {
    name: 'an error part in mid-stream',
    fails: true,
    only: 'stream',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [{ content: [text('Half of')], breakWith: { errorPart: new Error('Overloaded.') } }]),
        onError: () => {},
      },
      options: { prompt },
    }),
  },
  {
    name: 'a stream that breaks',
    fails: true,
    only: 'stream',
    build: (probe) => ({
      settings: {
        model: modelOf(probe, [{ content: [text('Half of')], breakWith: { throws: new Error('Socket closed.') } }]),
        onError: () => {},
      },
      options: { prompt },
    }),
  },
  {
    name: 'a stream without an end',
    fails: true,
    only: 'stream',
    build: (probe) => ({
      settings: { model: modelOf(probe, [{ content: [text('Half of')], breakWith: 'no-finish' }]), onError: () => {} },
      options: { prompt },
    }),
  },
];

/** The fields and the brand by which the SDK knows an APICallError that may be retried. */
function apiError(statusCode: number): object {
  return {
    name: 'AI_APICallError',
    url: 'https://example.com',
    requestBodyValues: {},
    statusCode,
    responseHeaders: { 'retry-after-ms': '1' },
    isRetryable: true,
    [Symbol.for('vercel.ai.error')]: true,
    [Symbol.for('vercel.ai.error.AI_APICallError')]: true,
  };
}
