import { createMCPClient } from '@ai-sdk/mcp';
import type { MCPTransport } from '@ai-sdk/mcp';

type Sent = Parameters<MCPTransport['send']>[0];

/** An MCP server in this process, with two pages of tools. `log`: the methods that were asked for. `onCall`: before a tool is called. */
export function mcpServer(onCall: () => void = () => {}): {
  connect: () => ReturnType<typeof createMCPClient>;
  log: string[];
} {
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
      'tools/call': ({ arguments: input }) => {
        onCall();
        return { content: [{ type: 'text', text: `Sunny in ${input?.city}.` }] };
      },
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
