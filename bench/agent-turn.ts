/** An agent of 20 turns, each of 50 stream parts and one tool call, against the SDK's own agent with the same model. */

import { stepCountIs, tool, ToolLoopAgent } from 'ai';
import { DurableAgent } from 'everturn';
import type { Runtime } from 'everturn';
import { z } from 'zod';
import { inTurns, measured, median } from './measure.ts';
import { mockModel, promptFor } from './mock-model.ts';
import { toFigure, toPlainFigure } from './report.ts';
import type { Bench, BenchContext, Figure, StoreName } from './report.ts';
import { openStore, withRuntime } from './runtime.ts';

const TURNS = 20;
const CHUNKS = 50;
const MORE_MS = 1;

const settings = {
  model: mockModel(),
  stopWhen: stepCountIs(TURNS + 1),
  tools: {
    lookup: tool({
      description: 'Looks something up',
      inputSchema: z.object({ q: z.string() }),
      execute: ({ q }) => ({ q, answer: 'some tool output '.repeat(12) }),
    }),
  },
};

export const agentTurn: Bench = {
  name: 'agent',
  leavesOut: 'a provider and its network; browsers; the SDK without streaming',
  run: async (context) => [...(await measure(context, 'sqlite')), ...(await measure(context, 'memory'))],
};

async function measure(context: BenchContext, store: StoreName): Promise<Figure[]> {
  const durable = new DurableAgent(settings);
  const plain = new ToolLoopAgent(settings);
  return withRuntime({ store: openStore(context, store), agents: { bench: durable } }, async (runtime) => {
    const turns = await inTurns({
      rounds: context.quick ? 5 : 25,
      warmUp: 3,
      floor: () => perTurn(() => runPlain(plain)),
      ours: () => perTurn(() => runDurable(runtime, durable)),
    });
    const what = `agent turn of ${CHUNKS} parts and a tool`;
    const figure = toFigure(what, turns, { store, unit: 'ms', floor: 'ToolLoopAgent' });
    const more = turns.ours.map((value, index) => value - (turns.floor[index] ?? Number.NaN));
    return [
      figure,
      {
        ...toPlainFigure('the same, beyond the SDK', more, { store, unit: 'ms', atMost: MORE_MS }),
        value: { ...measured(more), median: median(more) },
      },
    ];
  });
}

async function perTurn(run: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await run();
  return (performance.now() - startedAt) / TURNS;
}

async function runPlain(agent: ToolLoopAgent<never, typeof settings.tools>): Promise<void> {
  const result = await agent.stream({ prompt: promptFor({ turns: TURNS, chunks: CHUNKS }) });
  for await (const chunk of result.toUIMessageStream()) assertChunk(chunk);
}

async function runDurable(runtime: Runtime, agent: DurableAgent<never, typeof settings.tools>): Promise<void> {
  const run = await runtime.start(agent, { prompt: promptFor({ turns: TURNS, chunks: CHUNKS }) });
  await run.result();
}

function assertChunk(chunk: { type: string }): void {
  if (chunk.type === 'error') throw new Error(`The plain agent failed: ${JSON.stringify(chunk)}`);
}
