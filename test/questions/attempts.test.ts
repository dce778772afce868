import { tool } from 'ai';
import { ask, createHook, DurableAgent } from 'everturn';
import type { DurableToolSettings } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime } from 'everturn/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';

/** A tool that waits, and fails after its first wait that ended. */
async function waiting(wait: () => Promise<unknown>, settings: DurableToolSettings): Promise<[TestRuntime, string]> {
  let ended = 0;
  const paint = tool({
    inputSchema: z.object({}),
    execute: async () => {
      const colour = await wait();
      ended += 1;
      if (ended === 1 && settings.timeout === undefined) throw new Error('no brush');
      return String(colour);
    },
  });
  const painter = new DurableAgent({
    model: scriptedModel(({ toolResults }) =>
      'paint' in toolResults ? String(toolResults['paint']) : { toolCalls: [{ toolName: 'paint', input: {} }] },
    ),
    tools: { paint },
    durable: { tools: { paint: settings } },
  });
  const runtime = createTestRuntime({ agents: { painter } });
  onTestFinished(() => runtime.close());
  const { id } = await runtime.start(painter, { prompt: 'Paint' });
  await runtime.until(id, 'waiting');
  return [runtime, id];
}

async function resultOf(runtime: TestRuntime, run: string): Promise<unknown> {
  for (let seconds = 0; seconds < 10; seconds += 1) await runtime.clock.advance(1_000);
  return runtime.getRun(run).result();
}

const answer = async (runtime: TestRuntime): Promise<void> => {
  const [question] = (await runtime.questions.list()).items;
  await runtime.questions.answer(question?.id ?? '', { answer: 'blue', by: 'ada' });
};
const question = (): Promise<string> => ask({ prompt: 'Which colour?', options: ['red', 'blue'] });

describe('what a former attempt of a tool was told', () => {
  it('holds for the next one: the answer to a question', async () => {
    const [runtime, run] = await waiting(question, { retries: 1 });
    await answer(runtime);
    expect(await resultOf(runtime, run)).toMatchObject({ text: 'blue' });
  });

  it('holds for the next one: the payload of a hook', async () => {
    const [runtime, run] = await waiting(async () => createHook({ token: 'colour' }), { retries: 1 });
    await runtime.resumeHook('colour', 'blue');
    expect(await resultOf(runtime, run)).toMatchObject({ text: 'blue' });
  });

  it('reaches the next one, if the former had no time to wait for it', async () => {
    const [runtime, run] = await waiting(question, { retries: 1, timeout: '1 minute' });
    await runtime.clock.advance(61_000);
    await runtime.clock.advance(5_000);
    await answer(runtime);
    expect(await resultOf(runtime, run)).toMatchObject({ text: 'blue' });
  });
});
