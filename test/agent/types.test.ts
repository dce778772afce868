import { child, createRuntime, DurableAgent, workflow } from 'everturn';
import type { AgentResult, Registrable, RunHandle, Runtime } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { Output, tool } from 'ai';
import type { UIMessageChunk } from 'ai';
import { afterEach, describe, expect, expectTypeOf, it } from 'vitest';
import { z } from 'zod';
import { scriptedModel, text } from './scripted.ts';

const model = scriptedModel(() => ({ content: [text('{"city":"Oslo"}')] }));
const look = tool({ inputSchema: z.object({}), execute: () => 'seen' });
const plain = new DurableAgent({ model, tools: { look } });
const guide = new DurableAgent({
  model,
  output: Output.object({ schema: z.object({ city: z.string() }) }),
  callOptionsSchema: z.object({ language: z.string() }),
});
const double = workflow('double', async (n: number) => n * 2);
const greet = workflow('greet', async () => 'hello');
const family = workflow('family', async () => ({
  twice: await child(double, 21),
  said: await child(greet),
  told: await child(guide, { prompt: 'Where?', options: { language: 'en' } }, { id: 'told' }),
  named: await child<number>('double', 2),
}));

const runtimes: Runtime[] = [];
afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close()));
});

function open(): Runtime {
  const runtime = createRuntime({ store: memoryStore(), agents: { plain, guide }, workflows: [double, greet, family] });
  runtimes.push(runtime);
  return runtime;
}

describe('what a run answers', () => {
  it('has the types of its agent, without type arguments', async () => {
    const runtime = open();
    const run = await runtime.start(plain, { prompt: 'Hi' });
    expectTypeOf(run).toEqualTypeOf<RunHandle<AgentResult<never>, UIMessageChunk>>();
    expectTypeOf(run).toExtend<RunHandle<AgentResult>>();
    for await (const chunk of run.stream()) expectTypeOf(chunk).toEqualTypeOf<UIMessageChunk>();
    const guided = await runtime.start(guide, { id: 'g', prompt: 'Where?', options: { language: 'en' } });
    const result = await guided.result();
    expectTypeOf(result.output).toEqualTypeOf<{ city: string } | undefined>();
    expect(result.output).toEqual({ city: 'Oslo' });
  });

  it('has the types of its workflow', async () => {
    const runtime = open();
    const run = await runtime.start(double, { input: 4 });
    expectTypeOf(run).toEqualTypeOf<RunHandle<number>>();
    expect(await run.result()).toBe(8);
    expectTypeOf(await runtime.start(greet)).toEqualTypeOf<RunHandle<string>>();
    expectTypeOf(await runtime.start('greet')).toEqualTypeOf<RunHandle>();
    expectTypeOf(await runtime.start<string>('greet')).toEqualTypeOf<RunHandle<string>>();
    expectTypeOf(await runtime.start(greet as Registrable, { input: 1 })).toEqualTypeOf<RunHandle>();
  });

  it('has the types of its children', async () => {
    const result = await (await open().start(family)).result();
    expectTypeOf(result.twice).toEqualTypeOf<number>();
    expectTypeOf(result.said).toEqualTypeOf<string>();
    expectTypeOf(result.told.output).toEqualTypeOf<{ city: string } | undefined>();
    expectTypeOf(result.named).toEqualTypeOf<number>();
    expect(result).toMatchObject({ twice: 42, said: 'hello', told: { output: { city: 'Oslo' } }, named: 4 });
  });
});

describe('what a run takes', () => {
  it('is checked by the compiler', () => {
    const mistakes = (runtime: Runtime): unknown[] => [
      // @ts-expect-error an agent needs its content
      runtime.start(plain),
      // @ts-expect-error a prompt is text
      runtime.start(plain, { prompt: 5 }),
      // @ts-expect-error this agent takes no options
      runtime.start(plain, { prompt: 'Hi', options: { language: 'en' } }),
      // @ts-expect-error there is no such field
      runtime.start(plain, { prompt: 'Hi', thred: 't' }),
      // @ts-expect-error the options are not those of the agent
      runtime.start(guide, { prompt: 'Hi', options: { language: 5 } }),
      // @ts-expect-error the workflow needs its input
      runtime.start(double),
      // @ts-expect-error the input is a number
      runtime.start(double, { input: '4' }),
      // @ts-expect-error the workflow takes no input
      runtime.start(greet, { input: 4 }),
      // @ts-expect-error the input is a number
      child(double, '21'),
      // @ts-expect-error a prompt is text
      child(plain, { prompt: 5 }),
    ];
    expect(mistakes).toBeTypeOf('function');
  });
});
