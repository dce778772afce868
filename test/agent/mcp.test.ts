import { createMCPClient } from '@ai-sdk/mcp';
import type { MCPTransport } from '@ai-sdk/mcp';
import { createHook, createRuntime, workflow } from 'everturn';
import type { Runtime } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { afterEach, expect, it } from 'vitest';
import { DurableAgent } from '../../src/agent/durable-agent.ts';
import { mcpTools } from '../../src/tools/mcp.ts';
import { call, mortalStore, scriptedModel, text } from './scripted.ts';

const runtimes: Runtime[] = [];
afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close({ graceMs: 100 })));
});

type Sent = Parameters<MCPTransport['send']>[0];

/** An MCP server with two pages of tools. */
function mcpServer() {
  const log: string[] = [];
  const answers: Record<string, (params: { cursor?: string; name?: string; arguments?: { city: string } }) => object> =
    {
      initialize: () => ({
        protocolVersion: '2025-11-25',
        capabilities: { tools: {} },
        serverInfo: { name: 'weather', version: '1' },
      }),
      'tools/list': ({ cursor }) =>
        cursor === undefined
          ? { tools: [{ name: 'idle', inputSchema: { type: 'object' } }], nextCursor: '2' }
          : {
              tools: [
                {
                  name: 'weather',
                  description: 'The weather.',
                  inputSchema: { type: 'object', properties: { city: { type: 'string' } } },
                },
              ],
            },
      'tools/call': ({ arguments: input }) => ({ content: [{ type: 'text', text: `Sunny in ${input?.city}.` }] }),
    };
  const connect = (): ReturnType<typeof createMCPClient> => {
    log.push('connect');
    const transport: MCPTransport = {
      start: () => Promise.resolve(),
      close: () => Promise.resolve(),
      send: (message: Sent) => {
        if (!('method' in message) || !('id' in message)) return Promise.resolve();
        log.push(message.method);
        const answer = answers[message.method];
        const reply =
          answer === undefined
            ? { jsonrpc: '2.0' as const, id: message.id, error: { code: -32_601, message: 'no such method' } }
            : { jsonrpc: '2.0' as const, id: message.id, result: answer((message.params ?? {}) as never) };
        queueMicrotask(() => transport.onmessage?.(reply as never));
        return Promise.resolve();
      },
    };
    return createMCPClient({ transport });
  };
  return { connect, log };
}

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
