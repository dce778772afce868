import { tool } from 'ai';
import type { UIMessageChunk } from 'ai';
import { child, DurableAgent } from 'everturn';
import type { ApprovalRequestData } from 'everturn/client';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { chunksOf } from './kit.ts';

/** How an agent calls the one below it: in its own run, or as a child. */
type Form = 'call' | 'child';

interface Tree {
  agents: Record<string, DurableAgent>;
  /** Commands that the innermost tool ran with. */
  ran: string[];
  /** What the innermost model was told. */
  told: string[];
}

interface TreeOptions {
  /** From the top down. */
  forms?: [Form, Form];
  approval?: Record<string, unknown>;
}

/** support > research > ops, which has a shell that a person has to approve, and asks for two commands at once. */
function treeOf({ forms: [upper, lower] = ['call', 'call'], approval }: TreeOptions = {}): Tree {
  const ran: string[] = [];
  const told: string[] = [];
  const shell = tool({
    inputSchema: z.object({ command: z.string() }),
    needsApproval: true,
    execute: ({ command }) => {
      ran.push(command);
      return `done: ${command}`;
    },
  });
  const list = tool({
    inputSchema: z.object({}),
    execute: () => {
      ran.push('list');
      return 'a, b';
    },
  });
  const ops = new DurableAgent({
    id: 'ops',
    model: scriptedModel(({ prompt }) => {
      told.push(JSON.stringify(prompt));
      if (prompt.at(-1)?.role !== 'user') return 'Cleaned up.';
      return {
        toolCalls: [
          { toolName: 'shell', input: { command: 'rm a' } },
          { toolName: 'shell', input: { command: 'rm b' } },
          { toolName: 'list', input: {} },
        ],
      };
    }),
    tools: { shell, list },
    ...(approval === undefined ? {} : { durable: { approvals: { shell: approval } } }),
  });
  const research = above('research', { below: ops, name: 'ops', form: lower });
  const support = above('support', { below: research, name: 'research', form: upper });
  return { agents: { support, research, ops } as unknown as Tree['agents'], ran, told };
}

function above(id: string, { below, name, form }: { below: unknown; name: string; form: Form }): unknown {
  const agent = below as DurableAgent;
  const ask = tool({
    inputSchema: z.object({ task: z.string() }),
    execute: async ({ task }) => {
      if (form === 'call') return (await agent.generate({ prompt: task })).text;
      return (await child<{ text: string }>(name, { prompt: task })).text;
    },
  });
  return new DurableAgent({
    id,
    model: scriptedModel(({ prompt }) =>
      prompt.at(-1)?.role === 'user'
        ? { toolCalls: [{ toolName: 'ask', input: { task: 'clean up' } }] }
        : `${id}: all done.`,
    ),
    tools: { ask },
  });
}

function openTree(options: TreeOptions = {}): Tree & { runtime: TestRuntime } {
  const tree = treeOf(options);
  const runtime = createTestRuntime({ agents: tree.agents });
  onTestFinished(() => runtime.close());
  return { ...tree, runtime };
}

function cardsOf(chunks: readonly UIMessageChunk[]): Array<{ id: string; data: ApprovalRequestData }> {
  return chunks.flatMap((chunk) =>
    chunk.type === 'data-approval-request' ? [{ id: chunk.id ?? '', data: chunk.data as ApprovalRequestData }] : [],
  );
}

/** Codes of the errors that tools of the run at the top, and of its children, ended with. */
async function codesOf(runtime: TestRuntime): Promise<string[]> {
  const { items } = await runtime.list();
  const events = await Promise.all(items.map(({ id }) => runtime.getRun(id).events()));
  return events.flat().flatMap(({ type, value }) => (type === 'tool_failed' ? [(value as { code: string }).code] : []));
}

const FORMS: Array<[Form, Form]> = [
  ['call', 'call'],
  ['call', 'child'],
  ['child', 'call'],
  ['child', 'child'],
];

describe.each(FORMS)('an approval three agents deep, %s below %s', (...forms) => {
  it('is shown at the top with its path, and its answer resumes only its own call', async () => {
    const { runtime, agents, ran, told } = openTree({ forms });
    const run = await runtime.start(agents['support'] as never, { prompt: 'Go', id: 'run_1', thread: 't1', by: 'eve' });
    await runtime.clock.settleAll();
    const { items } = await runtime.approvals.list({ thread: 't1' });
    expect(items).toHaveLength(2);
    expect(items[0]).toMatchObject({
      path: ['support', 'research', 'ops', 'shell'],
      root: 'run_1',
      thread: 't1',
      requestedBy: 'eve',
      tool: 'shell',
    });
    expect(ran).toEqual(['list']);
    expect((await run.info()).status).toBe('waiting');
    const first = items.find(({ input }) => (input as { command: string }).command === 'rm a');
    await runtime.approvals.approve(first?.id ?? '', { by: 'ada' });
    await runtime.clock.settleAll();
    if (forms[1] === 'call') expect(ran).toEqual(['list', 'rm a']);
    const [second] = (await runtime.approvals.list({ thread: 't1' })).items;
    await runtime.approvals.deny(second?.id ?? '', { by: 'ben', reason: 'keep b' });
    expect(await run.result()).toMatchObject({ text: 'support: all done.' });
    expect(ran).toEqual(['list', 'rm a']);
    expect(told.at(-1)).toContain('keep b');
    expect(await codesOf(runtime)).toEqual(forms[1] === 'call' ? ['approval_denied'] : []);
    const cards = cardsOf(await chunksOf(run));
    expect(cards.map(({ data }) => [(data.input as { command: string }).command, data.status])).toEqual([
      ['rm a', 'pending'],
      ['rm b', 'pending'],
      ['rm a', 'approved'],
      ['rm b', 'denied'],
    ]);
    expect(cards[2]?.data).toMatchObject({ decidedBy: 'ada', path: ['support', 'research', 'ops', 'shell'] });
  });
});
