import { tool } from 'ai';
import { DurableAgent } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import { expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';

it('a client-side tool waits for its output though all processes end, and is answered from a new one, once', async () => {
  const locate = tool({ inputSchema: z.object({ who: z.string() }), outputSchema: z.object({ city: z.string() }) });
  const guide = new DurableAgent({
    model: scriptedModel(({ toolResults }) =>
      'locate' in toolResults
        ? `In ${JSON.stringify(toolResults['locate'])}.`
        : { toolCalls: [{ toolName: 'locate', input: { who: 'Kim' }, toolCallId: 'c1' }] },
    ),
    tools: { locate },
  });
  const runtime = createTestRuntime({ agents: { guide } });
  onTestFinished(() => runtime.close());
  const { id } = await runtime.start(guide, { prompt: 'Where is Kim?' });
  for (let restarts = 0; restarts < 2; restarts += 1) {
    await runtime.until(id, 'waiting');
    await runtime.restart();
    await runtime.clock.advance(24 * 60 * 60_000);
  }
  expect(await runtime.getRun(id).waits()).toEqual([
    { kind: 'client-tool', toolCallId: 'c1', tool: 'locate', input: { who: 'Kim' } },
  ]);
  await runtime.addToolOutput(id, { toolCallId: 'c1', output: { city: 'Ulm' } });
  await expect(runtime.addToolOutput(id, { toolCallId: 'c1', output: { city: 'Bonn' } })).rejects.toMatchObject({
    code: 'hook_already_resumed',
  });
  await runtime.restart();
  expect(await runtime.getRun(id).result()).toMatchObject({ text: 'In {"city":"Ulm"}.' });
});
