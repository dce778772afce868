import { Output, tool } from 'ai';
import type { UIMessageChunk } from 'ai';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import type { Runtime } from '../../src/app/create-runtime.ts';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { scriptedModel, startRuntime, until, userTexts } from './run-kit.ts';
import type { Answer } from './run-kit.ts';

const runtimes: Runtime[] = [];

function open(answers: Answer[], settings: object = {}) {
  const script = scriptedModel(answers);
  const agent = new DurableAgent({ model: script.model, instructions: 'Be brief.', ...settings });
  const runtime = startRuntime({ store: memoryStore(), agents: { assistant: agent } });
  runtimes.push(runtime);
  return { agent, runtime, ...script };
}

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of stream) all.push(item);
  return all;
}

afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close()));
});

describe('a run of an agent', () => {
  it('answers, streams its message and ends', async () => {
    const { agent, runtime } = open([{ text: 'It is 7 degrees.' }]);
    const run = await runtime.start(agent, { prompt: 'How warm is it?' });
    const chunks = await collect(run.stream<UIMessageChunk>());
    const result = await run.result();
    expect(result.text).toBe('It is 7 degrees.');
    expect(result.usage.totalTokens).toBe(15);
    expect(result.turns).toBe(1);
    expect(result.uiMessage).toMatchObject({ id: `msg_${run.id}`, role: 'assistant' });
    expect(chunks.map((chunk) => chunk.type)).toEqual([
      'start',
      'start-step',
      'text-start',
      ...Array.from({ length: 4 }, () => 'text-delta'),
      'text-end',
      'finish-step',
      'finish',
    ]);
  });

  it('continues its thread with the earlier messages', async () => {
    const { agent, runtime, prompts } = open([{ text: 'Hello Ada.' }, { text: 'You are Ada.' }]);
    await (await runtime.start(agent, { prompt: 'I am Ada.', thread: 't1' })).result();
    await (await runtime.start(agent, { prompt: 'Who am I?', thread: 't1' })).result();
    expect(prompts[1]?.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'user']);
    expect(userTexts(prompts[1] ?? [])).toEqual(['I am Ada.', 'Who am I?']);
  });

  it('runs its tools and goes on with their results', async () => {
    const executed: unknown[] = [];
    const weather = tool({
      description: 'weather',
      inputSchema: z.object({ city: z.string() }),
      execute: (input) => {
        executed.push(input);
        return { degrees: 7 };
      },
    });
    const call = { id: 'c1', name: 'weather', input: { city: 'Oslo' } };
    const { agent, runtime, prompts } = open([{ text: 'I look. ', calls: [call] }, { text: 'It is 7.' }], {
      tools: { weather },
    });
    const result = await (await runtime.start(agent, { prompt: 'Oslo?' })).result();
    expect(executed).toEqual([{ city: 'Oslo' }]);
    expect(result.messages.map(({ role }) => role)).toEqual(['assistant', 'tool', 'assistant']);
    expect(result.turns).toBe(2);
    expect(result.usage.totalTokens).toBe(30);
    expect(prompts[1]?.at(-1)?.role).toBe('tool');
  });

  it('takes user messages that come at its very end: none is lost, whoever they race with', async () => {
    for (let delay = 0; delay < 12; delay += 1) {
      const { agent, runtime, prompts } = open([{ text: 'First.' }, { text: 'Second.' }]);
      const run = await runtime.start(agent, { prompt: 'One', thread: 't' });
      for (let turn = 0; turn < delay; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      const next = await runtime.start(agent, {
        id: 'two',
        prompt: 'Two',
        thread: 't',
        whenBusy: 'steer',
      });
      const result = await next.result();
      expect(result.text).toBe('Second.');
      expect(userTexts(prompts[1] ?? [])).toEqual(['One', 'Two']);
      expect(prompts).toHaveLength(2);
      if (next.id === run.id)
        expect(result.messages.map(({ role }) => role)).toEqual(['assistant', 'user', 'assistant']);
      await runtime.close();
    }
  });

  it('shows its thread: ended runs whole, of a running one what started it', async () => {
    const message = { id: 'm1', role: 'user' as const, parts: [{ type: 'text' as const, text: 'Hi' }] };
    const { agent, runtime } = open([{ text: 'Hello.' }, { text: 'Working ', hold: new Promise(() => {}) }]);
    await (await runtime.start(agent, { message, thread: 't' })).result();
    const second = await runtime.start(agent, { prompt: 'More', thread: 't' });
    await until(async () => (await second.status) === 'running');
    const thread = await runtime.thread('t');
    expect(thread.runs.map(({ status }) => status)).toEqual(['completed', 'running']);
    expect(thread.uiMessages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user']);
    expect(thread.uiMessages[0]).toEqual(message);
    expect(thread.messages.map(({ role }) => role)).toEqual(['user', 'assistant']);
    await expect(runtime.thread('unknown')).rejects.toMatchObject({ code: 'thread_not_found' });
    await second.cancel();
  });

  it('shows the files of a message', async () => {
    const { agent, runtime } = open([{ text: 'A cat.' }]);
    const content = [
      { type: 'text' as const, text: 'What is it?' },
      { type: 'file' as const, mediaType: 'image/png', data: 'aGk=' },
    ];
    await (await runtime.start(agent, { messages: [{ role: 'user', content }], thread: 't' })).result();
    const [asked] = (await runtime.thread('t')).uiMessages;
    expect(asked?.parts).toEqual([
      { type: 'text', text: 'What is it?' },
      { type: 'file', mediaType: 'image/png', url: 'data:image/png;base64,aGk=' },
    ]);
  });

  it('answers with the structured output of its agent', async () => {
    const output = Output.object({ schema: z.object({ city: z.string() }) });
    const { agent, runtime } = open([{ text: '{"city":"Oslo"}' }], { output });
    const result = await (await runtime.start(agent, { prompt: 'Where?' })).result();
    expect(result.output).toEqual({ city: 'Oslo' });
  });

  it('passes call options to the agent', async () => {
    const { runtime, prompts } = open([{ text: 'Hei.' }], {
      callOptionsSchema: z.object({ language: z.string() }),
      prepareCall: ({ options, ...rest }: { options: { language: string } }) => ({
        ...rest,
        instructions: `Speak ${options.language}.`,
      }),
    });
    await (await runtime.start('assistant', { prompt: 'Hi', options: { language: 'Norwegian' } })).result();
    expect(prompts[0]?.[0]).toMatchObject({ role: 'system', content: 'Speak Norwegian.' });
  });

  it.each([
    [{}, 'it got no message'],
    [{ prompt: 'a', messages: [] }, 'prompt and messages at once'],
    [{ prompt: '  ' }, 'prompt is not a text'],
    [{ message: { role: 'user' } }, 'message is not a UIMessage'],
    [{ messages: [{ role: 'user', content: 5 }] }, 'messages[0] is not a ModelMessage'],
  ])('refuses to start with %j and says the right form', async (input, why) => {
    const { runtime } = open([]);
    const start = runtime.start('assistant', input);
    await expect(start).rejects.toMatchObject({ code: 'invalid_argument' });
    await expect(start).rejects.toThrow(why);
    await expect(start).rejects.toThrow('runtime.start(agent, { prompt: "..." })');
  });
});
