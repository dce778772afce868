/** Large values through an agent, over HTTP and in a real file. */

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tool } from 'ai';
import type { UIMessage } from 'ai';
import { DurableAgent } from 'everturn';
import type { RunHandle } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { sqliteStore } from 'everturn/sqlite';
import { expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { scriptedModel, startRuntime, until } from '../agent/run-kit.ts';
import type { Answer, Prompt } from '../agent/run-kit.ts';
import { chunksOf, openSocket, post, refusalOf, textOf } from './kit.ts';
import type { Site } from './kit.ts';

const MB = 1_048_576;

function base64(bytes: number): string {
  return randomBytes((bytes / 4) * 3).toString('base64');
}

async function newFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'large-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'runs.db');
}

/** With what has not moved from its log yet. */
async function sizeOf(path: string): Promise<number> {
  const log = await stat(`${path}-wal`).catch(() => ({ size: 0 }));
  return (await stat(path)).size + log.size;
}

const CALL: Answer = { calls: [{ id: 'call-1', name: 'export', input: {} }] };

function exporter(answers: Array<Answer | ((prompt: Prompt) => Answer)>, execute: () => unknown) {
  const { model, prompts } = scriptedModel(answers);
  const tools = { export: tool({ inputSchema: z.object({}), execute }) };
  return { agent: new DurableAgent({ model, tools }), prompts };
}

async function openSite(
  options: Parameters<typeof openSocket>[0],
  app?: Parameters<typeof openSocket>[1],
): Promise<Site> {
  const site = await openSocket(options, app);
  onTestFinished(() => site.close());
  return site;
}

function outputOf(chunks: ReadonlyArray<{ type: string }>): unknown {
  const found = chunks.find(({ type }) => type === 'tool-output-available');
  return found !== undefined && 'output' in found ? found.output : undefined;
}

/** No assertion on the text itself: what it prints when it fails has its size. */
function has(value: unknown, text: string): boolean {
  return JSON.stringify(value).includes(text);
}

it(
  'a tool result of 25 MB is stored once, read by everybody, and replayed by the next process',
  { timeout: 240_000 },
  async () => {
    const output = base64(25 * MB);
    const path = await newFile();
    let executed = 0;
    const run = (): string => {
      executed += 1;
      return output;
    };
    const first = exporter([CALL, { text: 'half', hold: new Promise(() => {}) }], run);
    const stored = startRuntime({ store: sqliteStore(path), agents: { support: first.agent } });
    const started: RunHandle = await stored.start(first.agent, { prompt: 'Export it', thread: 't1' });
    await until(() => first.prompts.length === 2);
    await stored.close({ graceMs: 0 });
    expect(await sizeOf(path)).toBeLessThan(output.length * 1.15);

    const second = exporter([{ text: 'Exported' }], run);
    const site = await openSite({ store: sqliteStore(path), agents: { support: second.agent } });
    const handle = site.runtime.getRun(started.id);
    await handle.result();
    expect(executed).toBe(1);
    expect(has(second.prompts[0], output)).toBe(true);
    // The result and the message of the run have it too.
    expect(await sizeOf(path)).toBeLessThan(output.length * 1.3);
    const response = await site.fetch(`${site.api}/runs/${started.id}/streams/default`, {
      headers: { accept: 'text/event-stream' },
    });
    const chunks = await chunksOf(response);
    expect(outputOf(chunks) === output).toBe(true);
    expect(textOf(chunks)).toContain('Exported');
  },
);

it(
  'a message with an image of 5 MB reaches the model, in this turn and in the next, and is in the file twice at most',
  { timeout: 240_000 },
  async () => {
    const url = `data:image/png;base64,${base64(5 * MB)}`;
    const image: UIMessage = {
      id: 'm1',
      role: 'user',
      parts: [
        { type: 'text', text: 'What is this?' },
        { type: 'file', mediaType: 'image/png', url },
      ],
    };
    const path = await newFile();
    const { model, prompts } = scriptedModel([{ text: 'A cat' }, { text: 'Still a cat' }]);
    const agents = { support: new DurableAgent({ model }) };
    const site = await openSite({ store: sqliteStore(path), agents }, { maxBodyBytes: 8 * MB });
    const chunks = await chunksOf(await post(site, { id: 't1', messages: [image] }));
    expect(textOf(chunks)).toBe('A cat');
    expect(has(prompts[0], url.slice(-1_000))).toBe(true);
    expect(await sizeOf(path)).toBeLessThan(2 * url.length);
    const next = { id: 'm2', role: 'user', parts: [{ type: 'text', text: 'And now?' }] };
    await chunksOf(await post(site, { id: 't1', messages: [next] }));
    expect(has(prompts[1], url.slice(-1_000))).toBe(true);
    const { messages } = await site.runtime.thread('t1');
    expect(has(messages[0], url)).toBe(true);
  },
);

it('a body that is larger than the server allows is refused before anything of it is stored', async () => {
  const { model } = scriptedModel([]);
  const path = await newFile();
  const site = await openSite({ store: sqliteStore(path), agents: { support: new DurableAgent({ model }) } });
  const before = await sizeOf(path);
  const message = { id: 'm1', role: 'user', parts: [{ type: 'text', text: base64(2 * MB) }] };
  expect(await refusalOf(await post(site, { id: 't1', messages: [message] }))).toMatchObject({
    code: 'body_too_large',
  });
  expect(await sizeOf(path)).toBeLessThan(before + 100_000);
});

it(
  'an approval has the whole input, however large, and runs with the input that its answer has changed',
  { timeout: 240_000 },
  async () => {
    const letter = base64(2 * MB);
    const sent: string[] = [];
    const { model } = scriptedModel([{ calls: [{ id: 'call-1', name: 'send', input: { letter } }] }, { text: 'Sent' }]);
    const tools = {
      send: tool({
        inputSchema: z.object({ letter: z.string() }),
        needsApproval: true,
        execute: (input: { letter: string }) => {
          sent.push(input.letter);
          return 'ok';
        },
      }),
    };
    const agent = new DurableAgent({ model, tools });
    const runtime = startRuntime({ store: sqliteStore(await newFile()), agents: { support: agent } });
    onTestFinished(() => runtime.close({ graceMs: 0 }));
    const run: RunHandle = await runtime.start(agent, { prompt: 'Send it' });
    const asked = await until(async () => (await runtime.approvals.list({ run: run.id })).items[0]);
    expect(has(asked.input, letter)).toBe(true);
    await runtime.approvals.approve(asked.id, { by: 'ada', input: { letter: `${letter}, yours` } });
    await run.result();
    expect(sent.map((text) => text === `${letter}, yours`)).toEqual([true]);
  },
);

it(
  'a large message that is steered into a run reaches its model, and the next run if this one is stopped before',
  { timeout: 240_000 },
  async () => {
    const letter = base64(MB);
    const store = memoryStore();
    let release = (): void => {};
    const { model, prompts } = scriptedModel([
      { text: 'Working', hold: new Promise<void>((resolve) => (release = resolve)) },
      { text: 'Read' },
      { text: 'Working', hold: new Promise(() => {}) },
      { text: 'Read as well' },
    ]);
    const agent = new DurableAgent({ model });
    const runtime = startRuntime({ store, agents: { support: agent } });
    onTestFinished(() => runtime.close({ graceMs: 0 }));
    const run: RunHandle = await runtime.start(agent, { prompt: 'Work', thread: 't1' });
    await until(() => prompts.length === 1);
    await runtime.start(agent, { id: 'steered', prompt: `${letter}1`, thread: 't1', whenBusy: 'steer' });
    release();
    await run.result();
    expect(has(prompts[1], `${letter}1`)).toBe(true);

    const stopped: RunHandle = await runtime.start(agent, { prompt: 'Work on', thread: 't1' });
    await until(() => prompts.length === 3);
    await runtime.start(agent, { id: 'left', prompt: `${letter}2`, thread: 't1', whenBusy: 'steer' });
    await store.control(stopped.id, 'terminate');
    await until(async () => (await store.get('left'))?.status === 'completed');
    expect(has(prompts[3], `${letter}2`)).toBe(true);
    expect(has((await runtime.getRun('left').info()).input, `${letter}2`)).toBe(true);
  },
);
