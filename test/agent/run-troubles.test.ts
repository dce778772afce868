import { tool } from 'ai';
import type { UIMessageChunk } from 'ai';
import { APICallError } from 'ai';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import type { Runtime } from '../../src/app/create-runtime.ts';
import { FatalError } from '../../src/runtime/errors.ts';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { foldMessage } from '../../src/streams/fold.ts';
import { expectSilentConsole } from '../support/silent-console.ts';
import { recordingLogger, scriptedModel, startRuntime, until, userTexts } from './run-kit.ts';
import type { ScriptedModel } from './run-kit.ts';

expectSilentConsole();

const runtimes: Runtime[] = [];

function open(script: ScriptedModel, settings: object = {}) {
  const agent = new DurableAgent({ model: script.model, maxRetries: 0, ...settings });
  const { logger, lines } = recordingLogger();
  const runtime = startRuntime({ store: memoryStore(), agents: { assistant: agent }, logger });
  runtimes.push(runtime);
  return { agent, runtime, lines };
}

async function collect(stream: AsyncIterable<UIMessageChunk>): Promise<UIMessageChunk[]> {
  const all: UIMessageChunk[] = [];
  for await (const chunk of stream) all.push(chunk);
  return all;
}

async function shownText(chunks: UIMessageChunk[]): Promise<string> {
  const message = await foldMessage(chunks);
  return (message?.parts ?? []).flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('|');
}

/** A stream's text up to now, read without following it. */
async function textSoFar(runtime: Runtime, run: string): Promise<string> {
  return shownText(await collect(runtime.getRun(run).stream<UIMessageChunk>({ follow: false })));
}

function gate(): { open: () => void; promise: Promise<void> } {
  let release = (): void => {};
  const promise = new Promise<void>((resolve) => {
    release = resolve;
  });
  return { open: release, promise };
}

afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close({ graceMs: 0 })));
});

describe('stop', () => {
  it('keeps the partial text once, ends the stream, and the next message continues', async () => {
    const script = scriptedModel([{ text: 'One two three ', hold: new Promise(() => {}) }, { text: 'Next.' }]);
    const { agent, runtime } = open(script);
    const run = await runtime.start(agent, { prompt: 'Count', thread: 't' });
    await until(async () => (await textSoFar(runtime, run.id)) === 'One two three ');
    await run.cancel();
    await expect(run.result()).rejects.toMatchObject({ code: 'cancelled' });
    const chunks = await collect(run.stream<UIMessageChunk>());
    expect(chunks.slice(-2)).toEqual([{ type: 'abort' }, { type: 'finish' }]);
    expect(await shownText(chunks)).toBe('One two three ');
    expect((await runtime.ledger({ run: run.id })).items.map((row) => row.outcome)).toEqual(['aborted']);
    await (await runtime.start(agent, { prompt: 'Go on', thread: 't' })).result();
    expect(script.prompts[1]?.map((message) => message.role)).toEqual(['user', 'assistant', 'user']);
    expect(script.prompts[1]?.[1]?.content).toEqual([
      expect.objectContaining({ type: 'text', text: expect.stringMatching(/^One two three\s*$/) }),
    ]);
    const thread = await runtime.thread('t');
    expect(thread.uiMessages.map((message) => message.role)).toEqual(['user', 'assistant', 'user', 'assistant']);
  });

  it('in the middle of a tool leaves no call without a result', async () => {
    const started = gate();
    const slow = tool({
      description: 'slow',
      inputSchema: z.object({}),
      execute: (_, { abortSignal }) => {
        started.open();
        return new Promise((_resolve, reject) =>
          abortSignal?.addEventListener('abort', () => reject(abortSignal.reason as Error)),
        );
      },
    });
    const script = scriptedModel([
      { text: 'I try. ', calls: [{ id: 'c1', name: 'slow', input: {} }] },
      { text: 'Fine.' },
    ]);
    const { agent, runtime } = open(script, { tools: { slow } });
    const run = await runtime.start(agent, { prompt: 'Go', thread: 't' });
    await started.promise;
    await run.cancel();
    await expect(run.result()).rejects.toMatchObject({ code: 'cancelled' });
    await (await runtime.start(agent, { prompt: 'And now?', thread: 't' })).result();
    expect(script.prompts[1]?.map((message) => message.role)).toEqual(['user', 'assistant', 'tool', 'user']);
    const message = await foldMessage(await collect(run.stream<UIMessageChunk>()));
    expect(message?.parts).toContainEqual(expect.objectContaining({ type: 'tool-slow', state: 'output-error' }));
  });

  it('while an approval waits leaves the call unexecuted, and the next message continues', async () => {
    let ran = 0;
    const pay = tool({ description: 'pay', inputSchema: z.object({}), execute: () => (ran += 1) });
    const script = scriptedModel([{ calls: [{ id: 'c1', name: 'pay', input: {} }] }, { text: 'Not paid.' }]);
    const { agent, runtime } = open(script, { tools: { pay }, toolApproval: { pay: 'user-approval' } });
    const run = await runtime.start(agent, { prompt: 'Pay', thread: 't' });
    const approval = await until(async () => (await runtime.approvals.list()).items[0]);
    await until(async () => (await run.status) === 'waiting');
    await run.cancel();
    await expect(run.result()).rejects.toMatchObject({ code: 'cancelled' });
    await expect(runtime.approvals.approve(approval.id, { by: 'a' })).rejects.toMatchObject({
      code: 'approval_decided',
    });
    await (await runtime.start(agent, { prompt: 'What now?', thread: 't' })).result();
    expect(ran).toBe(0);
    expect(JSON.stringify(script.prompts[1])).toContain('execution-denied');
  });
});

describe('an interrupting message', () => {
  it('stops the run, and the next one knows what was said', async () => {
    const script = scriptedModel([{ text: 'A long story ', hold: new Promise(() => {}) }, { text: 'Short then.' }]);
    const { agent, runtime } = open(script);
    const first = await runtime.start(agent, { prompt: 'Tell me', thread: 't' });
    await until(async () => (await textSoFar(runtime, first.id)) === 'A long story ');
    const second = await runtime.start(agent, { prompt: 'Shorter', thread: 't', whenBusy: 'interrupt' });
    expect((await second.result()).text).toBe('Short then.');
    expect(await first.status).toBe('cancelled');
    const chunks = await collect(first.stream<UIMessageChunk>());
    expect(chunks.slice(-2)).toEqual([{ type: 'abort', reason: 'interrupted' }, { type: 'finish' }]);
    expect(userTexts(script.prompts[1] ?? [])).toEqual(['Tell me', 'Shorter']);
    expect(JSON.stringify(script.prompts[1]?.[1])).toContain('A long story');
  });
});

describe('steering', () => {
  it('reaches the model between two turns, and the run goes on after a final answer', async () => {
    const hold = gate();
    const script = scriptedModel([{ text: 'Working ', hold: hold.promise }, { text: 'Paris, Texas then.' }]);
    const { agent, runtime } = open(script);
    const run = await runtime.start(agent, { prompt: 'Weather in Paris', thread: 't' });
    await until(async () => (await textSoFar(runtime, run.id)) === 'Working ');
    const steered = await runtime.start(agent, { id: 'm2', prompt: 'I mean Texas', thread: 't', whenBusy: 'steer' });
    expect(steered.id).toBe(run.id);
    await until(async () => (await run.events()).some((event) => event.type === 'message_received'));
    hold.open();
    const result = await run.result();
    expect(result.text).toBe('Paris, Texas then.');
    expect(userTexts(script.prompts[1] ?? [])).toEqual(['Weather in Paris', 'I mean Texas']);
    expect(result.messages.map((message) => message.role)).toEqual(['assistant', 'user', 'assistant']);
    expect(result.uiMessage.parts).toContainEqual(expect.objectContaining({ type: 'steering-message' }));
    const types = (await collect(run.stream<UIMessageChunk>())).map((chunk) => chunk.type);
    const at = types.indexOf('steering-message');
    expect(types.slice(0, at)).toContain('text-end');
    expect(types.slice(at)).toContain('text-start');
  });
});

describe('a turn that fails', () => {
  it('in mid-stream is tried again, and its text is shown once', async () => {
    const script = scriptedModel([
      { text: 'The answer is ', cut: new TypeError('terminated') },
      { text: 'The answer is 42.' },
    ]);
    const { agent, runtime, lines } = open(script);
    const run = await runtime.start(agent, { prompt: 'Answer' });
    const chunks = await collect(run.stream<UIMessageChunk>());
    expect((await run.result()).text).toBe('The answer is 42.');
    expect(chunks.map((chunk) => chunk.type)).toContain('reset-step');
    expect(await shownText(chunks)).toBe('The answer is 42.');
    expect(lines).toContainEqual(
      expect.objectContaining({ level: 'warn', message: 'a turn failed and is tried again' }),
    );
    const { items } = await runtime.ledger({ run: run.id });
    expect(items.map((row) => row.outcome)).toEqual(['failed', 'completed']);
  });

  it('keeps what its tools did: they do not run again', async () => {
    let ran = 0;
    const count = tool({ description: 'count', inputSchema: z.object({}), execute: () => (ran += 1) });
    const script = scriptedModel([
      { calls: [{ id: 'c1', name: 'count', input: {} }] },
      { text: 'It ', cut: new TypeError('terminated') },
      { text: 'It is 1.' },
    ]);
    const { agent, runtime } = open(script, { tools: { count } });
    const run = await runtime.start(agent, { prompt: 'Count' });
    const result = await run.result();
    expect(result.text).toBe('It is 1.');
    expect(ran).toBe(1);
    expect(script.prompts).toHaveLength(3);
    expect(result.messages.map((message) => message.role)).toEqual(['assistant', 'tool', 'assistant']);
  });

  it('goes to the fallback model when its retries are spent', async () => {
    const first = scriptedModel([{ refuse: refusal(503) }, { refuse: refusal(503) }], 'first');
    const second = scriptedModel([{ text: 'From the second.' }], 'second');
    const { agent, runtime } = open(first, { durable: { turnRetries: 1, fallbackModels: [second.model] } });
    const run = await runtime.start(agent, { prompt: 'Hi' });
    expect((await run.result()).text).toBe('From the second.');
    const { items } = await runtime.ledger({ run: run.id });
    expect(items.map((row) => [row.model, row.outcome])).toEqual([
      ['first', 'failed'],
      ['first', 'failed'],
      ['second', 'completed'],
    ]);
  });

  it('is not tried again where the provider would refuse it again, and fails readably', async () => {
    const script = scriptedModel([{ refuse: refusal(401) }]);
    const { agent, runtime } = open(script);
    const run = await runtime.start(agent, { prompt: 'Hi', thread: 't' });
    const chunks = await collect(run.stream<UIMessageChunk>());
    await expect(run.result()).rejects.toMatchObject({ code: 'run_failed', cause: { code: 'model_failed' } });
    expect(chunks.slice(-2).map((chunk) => chunk.type)).toEqual(['error', 'finish']);
    expect((await runtime.list()).items[0]?.error?.code).toBe('model_failed');
  });
});

function refusal(statusCode: number): APICallError {
  return new APICallError({
    message: `status ${statusCode}`,
    url: 'http://local',
    requestBodyValues: {},
    statusCode,
    isRetryable: statusCode >= 500,
  });
}

describe('a FatalError of a tool', () => {
  it('fails the run and leaves a valid history', async () => {
    const jam = tool({
      description: 'jam',
      inputSchema: z.object({}),
      execute: (): string => {
        throw new FatalError('out of order');
      },
    });
    const script = scriptedModel([{ calls: [{ id: 'c1', name: 'jam', input: {} }] }, { text: 'Sorry.' }]);
    const { agent, runtime } = open(script, { tools: { jam } });
    const run = await runtime.start(agent, { prompt: 'Break', thread: 't' });
    await expect(run.result()).rejects.toMatchObject({ code: 'run_failed', cause: { message: 'out of order' } });
    expect(script.prompts).toHaveLength(1);
    await (await runtime.start(agent, { prompt: 'And?', thread: 't' })).result();
    expect(script.prompts[1]?.map((message) => message.role)).toEqual(['user', 'assistant', 'tool', 'user']);
  });
});
