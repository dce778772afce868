/** Agents that stand below one another, the innermost with a tool that a person has to approve. */

import { tool } from 'ai';
import type { UIMessage, UIMessageChunk } from 'ai';
import { child, DurableAgent } from 'everturn';
import type { DurableSettings } from 'everturn';
import type { ApprovalRequestData } from 'everturn/client';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime, TestRuntimeOptions } from 'everturn/testing';
import { onTestFinished } from 'vitest';
import { z } from 'zod';

/** How an agent calls the one below it: in its own run, or as a child run. */
export type Form = 'call' | 'child';

export const FORMS: ReadonlyArray<[Form, Form]> = [
  ['call', 'call'],
  ['call', 'child'],
  ['child', 'call'],
  ['child', 'child'],
];

const inputSchema = z.object({ command: z.string() });
type ShellSettings = NonNullable<
  NonNullable<DurableSettings<'shell', { shell: z.infer<typeof inputSchema> }>['approvals']>['shell']
>;

export interface Tree {
  agents: Record<'support' | 'research' | 'ops', DurableAgent>;
  /** Commands that the innermost tool ran with, and `list` for the tool beside it. */
  ran: string[];
  /** What the innermost model was told, one text for each call. */
  told: string[];
}

export interface TreeOptions {
  /** From the top down. */
  forms?: readonly [Form, Form];
  approval?: ShellSettings;
  onApprovalRequested?: NonNullable<DurableSettings['onApprovalRequested']>;
  /** What the innermost agent asks for at once. */
  commands?: string[];
  ran?: (command: string) => void;
  /** Nobody has to approve it, and its process does not survive the first call of the innermost tool. */
  dies?: boolean;
}

/** support > research > ops > shell. */
export function treeOf(options: TreeOptions = {}): Tree {
  const { forms: [upper, lower] = ['call', 'call'], approval, onApprovalRequested } = options;
  const { commands = ['rm a', 'rm b'], dies = false } = options;
  const ran: string[] = [];
  const told: string[] = [];
  const note = (command: string): string => {
    ran.push(command);
    options.ran?.(command);
    return `done: ${command}`;
  };
  const shell = tool({
    inputSchema,
    needsApproval: !dies,
    execute: ({ command }) => {
      const done = note(command);
      return dies ? new Promise<string>(() => {}) : done;
    },
  });
  const list = tool({ inputSchema: z.object({}), execute: () => note('list') });
  const ops = new DurableAgent({
    id: 'ops',
    model: scriptedModel(({ prompt }) => {
      told.push(JSON.stringify(prompt));
      if (prompt.at(-1)?.role !== 'user') return 'Cleaned up.';
      const calls = commands.map((command) => ({ toolName: 'shell', input: { command } }));
      return { toolCalls: [...calls, { toolName: 'list', input: {} }] };
    }),
    tools: { shell, list },
    durable: {
      ...(dies ? { tools: { shell: { onInDoubt: 'ask' as const } } } : {}),
      ...(approval === undefined ? {} : { approvals: { shell: approval } }),
      ...(onApprovalRequested === undefined ? {} : { onApprovalRequested }),
    },
  });
  const research = above('research', { below: ops as unknown as DurableAgent, name: 'ops', form: lower });
  const support = above('support', { below: research, name: 'research', form: upper });
  return { agents: { support, research, ops: ops as unknown as DurableAgent }, ran, told };
}

function above(id: string, { below, name, form }: { below: DurableAgent; name: string; form: Form }): DurableAgent {
  const ask = tool({
    inputSchema: z.object({ task: z.string() }),
    execute: async ({ task }) => {
      if (form === 'call') return (await below.generate({ prompt: task })).text;
      return (await child<{ text: string }>(name, { prompt: task })).text;
    },
  });
  const agent = new DurableAgent({
    id,
    model: scriptedModel(({ prompt }) =>
      prompt.at(-1)?.role === 'user'
        ? { toolCalls: [{ toolName: 'ask', input: { task: 'clean up' } }] }
        : `${id}: all done.`,
    ),
    tools: { ask },
  });
  return agent as unknown as DurableAgent;
}

export function openTree(options: TreeOptions & TestRuntimeOptions = {}): Tree & { runtime: TestRuntime } {
  const { forms, approval, onApprovalRequested, commands, ran, dies, ...runtimeOptions } = options;
  const given = Object.entries({ forms, approval, onApprovalRequested, commands, ran, dies });
  const tree = treeOf(Object.fromEntries(given.filter(([, value]) => value !== undefined)));
  const runtime = createTestRuntime({ agents: tree.agents, ...runtimeOptions });
  onTestFinished(() => runtime.close());
  return { ...tree, runtime };
}

export interface Card {
  id: string;
  data: ApprovalRequestData;
}

export function cardsOf(parts: ReadonlyArray<UIMessageChunk | UIMessage['parts'][number]>): Card[] {
  return parts.flatMap((part) =>
    part.type === 'data-approval-request' ? [{ id: part.id ?? '', data: part.data as ApprovalRequestData }] : [],
  );
}

export function commandOf({ input }: { input: unknown }): string {
  return (input as { command: string }).command;
}

export async function approvalOf(runtime: TestRuntime, command: string): Promise<string> {
  const { items } = await runtime.approvals.list({ thread: 't1' });
  const found = items.find((approval) => commandOf(approval) === command);
  if (found === undefined) throw new Error(`nothing asks for "${command}"`);
  return found.id;
}
