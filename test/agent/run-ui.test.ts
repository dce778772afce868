import { tool } from 'ai';
import type { UIMessage, UIMessageChunk } from 'ai';
import { DurableAgent, now, sleep } from 'everturn';
import type { DurableUiSettings } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { foldMessage } from '../../src/streams/fold.ts';

const source = { type: 'source' as const, sourceType: 'url' as const, id: 's1', url: 'https://example.org' };

const call = (city: string) => ({ toolName: 'weather', input: { city }, toolCallId: city });

function newAgent(ui?: DurableUiSettings, toolName = 'weather') {
  return new DurableAgent({
    model: scriptedModel(({ prompt }) => {
      const answered = prompt.filter(({ role }) => role === 'tool').length;
      if (answered === 2) return { reasoning: 'Cold.', text: 'It is 7 degrees.', content: [source] };
      return { reasoning: 'Ask first.', text: 'I look.', toolCalls: [call(answered === 0 ? 'Bergen' : 'Oslo')] };
    }),
    tools: {
      [toolName]: tool({
        inputSchema: z.object({ city: z.string() }),
        execute: async ({ city }) => {
          if (city === 'Oslo') await sleep('1 minute');
          return { degrees: 7 };
        },
      }),
    },
    ...(ui === undefined ? {} : { durable: { ui } }),
  });
}

async function chunksOf(runtime: ReturnType<typeof createTestRuntime>, id: string): Promise<UIMessageChunk[]> {
  const chunks: UIMessageChunk[] = [];
  for await (const chunk of runtime.getRun<unknown, UIMessageChunk>(id).stream()) chunks.push(chunk);
  return chunks;
}

async function streamed(ui?: DurableUiSettings): Promise<{ chunks: UIMessageChunk[]; message: UIMessage }> {
  const agent = newAgent(ui);
  const runtime = createTestRuntime({ agents: { agent } });
  const run = await runtime.start(agent, { prompt: 'Oslo?', id: 'run', thread: 't' });
  await runtime.until(run, 'waiting');
  await runtime.clock.advance('1 minute');
  await run.result();
  const chunks = await chunksOf(runtime, 'run');
  const message = (await runtime.thread('t')).uiMessages.at(-1) as UIMessage;
  await runtime.close();
  return { chunks, message };
}

const typesOf = (chunks: readonly UIMessageChunk[]): string[] => chunks.map(({ type }) => type);

describe('what a run streams of its answer', () => {
  it('is its reasoning and no sources, if nothing is said', async () => {
    const types = typesOf((await streamed()).chunks);
    expect(types).toContain('reasoning-delta');
    expect(types).not.toContain('source-url');
    expect(types).not.toContain('message-metadata');
  });

  it('leaves the reasoning out', async () => {
    const { chunks, message } = await streamed({ sendReasoning: false });
    expect(typesOf(chunks).filter((type) => type.startsWith('reasoning'))).toEqual([]);
    expect(message.parts.some(({ type }) => type === 'reasoning')).toBe(false);
    expect(message.parts.some(({ type }) => type === 'text')).toBe(true);
  });

  it('has sources', async () => {
    const { chunks, message } = await streamed({ sendSources: true });
    expect(typesOf(chunks)).toContain('source-url');
    expect(message.parts).toContainEqual({ type: 'source-url', sourceId: 's1', url: 'https://example.org' });
  });

  it('has the metadata of its parts, of the first and the last too, and one end', async () => {
    const { chunks, message } = await streamed({
      messageMetadata: ({ part }) => {
        if (part.type === 'start') return { startedAt: now() > 0 };
        if (part.type === 'finish-step') return { model: part.response.modelId };
        return part.type === 'finish' ? { tokens: part.totalUsage.totalTokens } : undefined;
      },
    });
    expect(chunks[0]).toMatchObject({ type: 'start', messageMetadata: { startedAt: true } });
    expect(message.metadata).toEqual({ startedAt: true, model: expect.any(String), tokens: 45 });
    expect(typesOf(chunks).filter((type) => type === 'finish')).toHaveLength(1);
    expect(typesOf(chunks).at(-1)).toBe('finish');
  });
});

describe('a run that dies', () => {
  const ui: DurableUiSettings = {
    sendReasoning: false,
    sendSources: true,
    messageMetadata: ({ part }) => (part.type === 'finish' ? { tokens: part.totalUsage.totalTokens } : undefined),
  };

  it.each(Array.from({ length: 9 }, (_, index) => index + 1))('after commit %i shows the same', async (n) => {
    const whole = await streamed(ui);
    const agents = { agent: newAgent(ui) };
    const runtime = createTestRuntime({ agents });
    runtime.crashAfterCommit(n);
    await runtime.start('agent', { prompt: 'Oslo?', id: 'run', thread: 't' }).catch(() => {});
    for (let minute = 0; minute < 3; minute += 1) await runtime.clock.advance('1 minute');
    await runtime.crashed();
    await runtime.restart();
    await runtime.clock.advance('2 minutes');
    await runtime.getRun('run').result();
    const chunks = await chunksOf(runtime, 'run');
    const message: UIMessage = { id: 'm', role: 'assistant', parts: [] };
    expect(await foldMessage(chunks, { message })).toEqual(await foldMessage(whole.chunks, { message }));
    expect(typesOf(chunks).filter((type) => type === 'message-metadata')).toHaveLength(1);
    await runtime.close();
  });

  it('shows no reasoning where its segment ends without its loop', async () => {
    const first = newAgent({ sendReasoning: false });
    const runtime = createTestRuntime({ agents: { agent: first } });
    const run = await runtime.start('agent', { prompt: 'Oslo?', id: 'run', thread: 't' });
    await runtime.until(run, 'waiting');
    await runtime.restart({ agents: { agent: newAgent({ sendReasoning: false }, 'renamed') } });
    await runtime.clock.advance('2 minutes');
    await runtime.getRun('run').result();
    expect(typesOf(await chunksOf(runtime, 'run')).filter((type) => type.startsWith('reasoning'))).toEqual([]);
    await runtime.close();
  });
});
