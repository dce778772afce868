/** What tools may write to the stream that the agent answers on. */

import { tool } from 'ai';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import { step } from '../../src/runtime/step.ts';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { getWritable } from '../../src/streams/writable.ts';
import { scriptedModel, startRuntime } from './run-kit.ts';

interface Answered {
  /** What the writes rejected with. */
  refused: unknown[];
  text: string;
  types: string[];
}

/** An answer with a tool call whose code writes as told. */
async function answerOf(write: (refused: (error: unknown) => void) => Promise<unknown>): Promise<Answered> {
  const refused: unknown[] = [];
  const note = tool({
    inputSchema: z.object({}),
    execute: async () => {
      await write((error) => refused.push(error));
      return 'noted';
    },
  });
  const { model } = scriptedModel([
    { calls: [{ id: 'c1', name: 'note', input: {} }], finish: 'tool-calls' },
    { text: 'done' },
  ]);
  const agent = new DurableAgent({ model, tools: { note } });
  const runtime = startRuntime({ store: memoryStore(), agents: { agent } });
  const run = await runtime.start(agent, { prompt: 'note it' });
  const { text } = await run.result();
  const types: string[] = [];
  for await (const chunk of run.stream()) types.push(chunk.type);
  await runtime.close({ graceMs: 0 });
  return { refused, text, types };
}

const write = (value: unknown, namespace?: string): Promise<void> =>
  getWritable(namespace === undefined ? {} : { namespace })
    .getWriter()
    .write(value);

describe("on the agent's stream", () => {
  it.each([
    ['null', null],
    ['a string', 'x'],
    ['bytes', new Uint8Array([1])],
    ['an object without a type', { no: 1 }],
    ['a delta', { type: 'text-delta', id: 'zz', delta: 'x' }],
    ['an end', { type: 'finish' }],
    ['a step of the SDK', { type: 'start-step' }],
    ['a type that nobody knows', { type: 'note' }],
    ['a part without a name', { type: 'data-', data: 1 }],
    ['a part whose id is no string', { type: 'data-note', id: 1, data: 1 }],
    ['a part whose transience is no boolean', { type: 'data-note', transient: 'yes', data: 1 }],
  ])('%s is refused, and the answer goes on', async (_, value) => {
    for (const place of [
      (refused: (error: unknown) => void) => write(value).catch(refused),
      (refused: (error: unknown) => void) => step('write', () => write(value).catch(refused)),
    ]) {
      const { refused, text, types } = await answerOf(place);
      expect(refused).toMatchObject([{ code: 'invalid_argument', details: { stream: 'default' } }]);
      expect(text).toBe('done');
      expect(types.at(-1)).toBe('finish');
    }
  });

  it('parts of data are taken', async () => {
    const { refused, types } = await answerOf(async (refuse) => {
      await write({ type: 'data-note', id: 'n', data: { half: true } }).catch(refuse);
      await write({ type: 'data-flash', data: 1, transient: true }).catch(refuse);
      await write('anything', 'log').catch(refuse);
    });
    expect(refused).toEqual([]);
    expect(types).toEqual(expect.arrayContaining(['data-note', 'data-flash']));
  });
});
