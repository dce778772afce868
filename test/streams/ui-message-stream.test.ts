import { createRuntime, DurableAgent, workflow, writeUIMessageStream } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { scriptedModel } from 'everturn/testing';
import { tool } from 'ai';
import type { UIMessageChunk } from 'ai';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { foldMessage } from '../../src/streams/fold.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { killable } from '../support/killable.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

function program() {
  const search = tool({
    description: 'search',
    inputSchema: z.object({ q: z.string() }),
    execute: ({ q }) => `found ${q}`,
  });
  const agent = (name: string): DurableAgent<never, { search: typeof search }> =>
    new DurableAgent({
      id: name,
      tools: { search },
      model: scriptedModel([
        { text: `${name} looks.`, toolCalls: [{ toolName: 'search', input: { q: name } }] },
        { text: `${name} has it.` },
      ]),
    });
  const [first, second] = [agent('one'), agent('two')];
  return workflow('answers', async () => {
    const answers: string[] = [];
    for (const each of [first, second]) {
      const answer = await each.stream({ prompt: 'Go.' });
      await writeUIMessageStream(answer);
      answers.push(await answer.text);
    }
    return answers;
  });
}

async function follow(lastCommit: number): Promise<{ died: boolean; chunks: UIMessageChunk[]; result: unknown }> {
  const clock = manualClock();
  const inner = memoryStore({ clock });
  const flow = program();
  let died = false;
  const dying = killable(inner, (commit) => {
    if (commit === lastCommit) died = true;
    return commit === lastCommit ? 'die after' : 'go';
  });
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 60; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  };
  const before = createRuntime({ store: dying.store, clock, workflows: [flow], logger: quiet });
  await before.start(flow, { id: 'r' });
  for (let turn = 0; turn < 10; turn += 1) {
    await clock.advance(10);
    await settle();
  }
  const after = createRuntime({ store: killable(inner).store, clock, workflows: [flow], logger: quiet });
  await clock.advance(20_000);
  for (let turn = 0; turn < 10; turn += 1) {
    await clock.advance(10);
    await settle();
  }
  const run = after.getRun('r');
  const result = await run.result();
  const chunks: UIMessageChunk[] = [];
  for await (const chunk of run.stream<UIMessageChunk>()) chunks.push(chunk);
  return { died, chunks, result };
}

/** What is visible of each answer. */
async function texts(chunks: UIMessageChunk[]): Promise<string[]> {
  const starts = chunks.flatMap((chunk, index) => (chunk.type === 'start' ? [index] : []));
  return Promise.all(
    starts.map(async (from, index) => {
      const message = await foldMessage(chunks.slice(from, starts[index + 1]));
      return (message?.parts ?? []).flatMap((part) => (part.type === 'text' ? [part.text] : [])).join(' ');
    }),
  );
}

it("an agent's answers in a workflow are on its stream once, whichever commit the process dies after", async () => {
  const whole = await follow(Number.POSITIVE_INFINITY);
  expect(whole.result).toEqual(['one has it.', 'two has it.']);
  expect(await texts(whole.chunks)).toEqual(['one looks. one has it.', 'two looks. two has it.']);
  let deaths = 0;
  for (let commit = 1; ; commit += 1) {
    const { died, chunks, result } = await follow(commit);
    if (!died) break;
    deaths += 1;
    expect(result, `commit ${commit}`).toEqual(whole.result);
    expect(await texts(chunks), `commit ${commit}`).toEqual(await texts(whole.chunks));
    expect(
      chunks.filter(({ type }) => type === 'finish'),
      `commit ${commit}`,
    ).toHaveLength(2);
  }
  expect(deaths).toBeGreaterThan(6);
});
