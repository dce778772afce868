import { createMCPClient } from '@ai-sdk/mcp';
import { createHook, createRuntime, workflow } from 'everturn';
import type { Runtime } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { createTestRuntime, scriptedModel as turns } from 'everturn/testing';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import { mcpTools } from '../../src/tools/mcp.ts';
import { startMcpServer } from '../support/mcp-server.ts';
import { mcpServer } from './memory-mcp.ts';
import { mortalStore } from '../support/mortal-store.ts';
import { call, scriptedModel, text } from './scripted.ts';

const runtimes: Runtime[] = [];
afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close({ graceMs: 100 })));
});

it('tools of an MCP server: the list is a step, a call is a tool, and a replay needs no connection', async () => {
  const server = mcpServer();
  const weather = mcpTools('weather', server.connect);
  const model = scriptedModel([{ content: [call('weather', { city: 'Bern' })] }, { content: [text('Sunny.')] }]);
  const agent = new DurableAgent({
    id: 'subject',
    model,
    prepareCall: async (args) => ({ ...args, tools: await weather.tools() }),
  });
  let token = '';
  const ask = workflow('ask', async () => {
    const { text: said } = await agent.generate({ prompt: 'Bern?' });
    const hook = createHook<string>();
    token = hook.token;
    return said + (await hook);
  });
  const store = memoryStore();
  const first = createRuntime({ store: mortalStore(store, { at: () => false }), workflows: [ask] });
  const { id } = await first.start(ask);
  await expect.poll(() => first.getRun(id).status).toBe('waiting');
  await first.close();
  await weather.close();
  expect(model.calls[0]?.tools?.map((offered) => offered.name)).toEqual(['idle', 'weather']);
  expect(JSON.stringify(model.calls[1]?.prompt.at(-1))).toContain(
    '"type":"content","value":[{"type":"text","text":"Sunny in Bern."}]',
  );
  expect(server.log.filter((entry) => entry !== 'server/discover')).toEqual([
    'connect',
    'initialize',
    'tools/list',
    'tools/list',
    'tools/call',
  ]);

  const before = server.log.length;
  const second = createRuntime({ store, workflows: [ask] });
  runtimes.push(second);
  await second.resumeHook(token, '!');
  expect(await second.getRun(id).result()).toBe('Sunny.!');
  expect(server.log).toHaveLength(before);
  expect((await second.getRun(id).events()).map((event) => event.key)).toContain('agent:subject/t0/tool:weather-1');
});

it('a server that failed is connected to anew', async () => {
  const server = mcpServer();
  let broken = true;
  const weather = mcpTools('weather', () => (broken ? Promise.reject(new Error('refused')) : server.connect()));
  await expect(weather.tools()).rejects.toThrow('refused');
  broken = false;
  expect(Object.keys(await weather.tools())).toEqual(['idle', 'weather']);
  await weather.close();
});

describe('the idempotency key of a call', () => {
  const NAME = 'everturn/idempotencyKey';

  async function setUp(spoil: (client: object) => object = (client) => client) {
    const metas: Array<Record<string, unknown>> = [];
    const server = await startMcpServer({
      pay: {
        description: 'Pay',
        inputSchema: { type: 'object' },
        call: (_input, _headers, meta) => {
          metas.push(meta);
          return 'paid';
        },
      },
    });
    const bank = mcpTools('bank', async () => {
      const client = await createMCPClient({ transport: { type: 'http', url: server.url } });
      return spoil(client) as typeof client;
    });
    const pays = { toolCalls: [{ toolName: 'pay', input: {}, toolCallId: 'call_1' }] };
    const agent = new DurableAgent({
      model: turns([pays, { text: 'Paid.' }]),
      prepareCall: async (args) => ({ ...args, tools: await bank.tools() }),
    });
    const runtime = createTestRuntime({ agents: { agent } });
    runtimes.push(runtime);
    onTestFinished(() => bank.close().then(() => server.close()));
    return { agent, bank, metas, runtime };
  }

  it('goes with it, the same after a crash', async () => {
    const { agent, metas, runtime } = await setUp();
    // The list, the turn, and the call's result, which is lost.
    runtime.crashBeforeCommit(3);
    const run = await runtime.start(agent, { prompt: 'Pay' });
    await runtime.crashed();
    expect(metas).toHaveLength(1);
    await runtime.restart();
    expect((await run.result()).text).toBe('Paid.');
    const key = `${run.id}/agent#0/t0/tool:call_1`;
    expect(metas.map((meta) => meta[NAME])).toEqual([key, key]);
  });

  it('is none outside of a run, where nothing is tried again', async () => {
    const { agent, metas } = await setUp();
    expect((await agent.generate({ prompt: 'Pay' })).text).toBe('Paid.');
    expect(metas).toEqual([expect.not.objectContaining({ [NAME]: expect.anything() })]);
  });

  it('is missed with a warning where the client cannot take it', async () => {
    const { agent, metas, runtime } = await setUp((client) => {
      const { listTools, toolsFromDefinitions, close } = client as Awaited<ReturnType<typeof createMCPClient>>;
      const bound = { listTools, toolsFromDefinitions, close };
      return Object.fromEntries(Object.entries(bound).map(([name, method]) => [name, method.bind(client as never)]));
    });
    const run = await runtime.start(agent, { prompt: 'Pay' });
    expect((await run.result()).text).toBe('Paid.');
    expect(metas).toHaveLength(1);
    expect(metas[0]).not.toHaveProperty([NAME]);
    expect(runtime.logs).toContainEqual(
      expect.objectContaining({ level: 'warn', message: expect.stringContaining('no idempotency key') }),
    );
  });
});
