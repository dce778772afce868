/** A small MCP server over HTTP (JSON answers, no sessions): lists its tools and calls them. */
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface McpServerTool {
  description: string;
  inputSchema: object;
  /** Answers the text of the result. */
  call: (
    input: Record<string, unknown>,
    headers: IncomingHttpHeaders,
    meta: Record<string, unknown>,
  ) => Promise<string> | string;
}

export interface McpServer {
  readonly url: string;
  /** Methods that clients asked for, in order. */
  readonly requests: string[];
  close(): Promise<void>;
}

interface JsonRpcRequest {
  id?: number | string;
  method: string;
  params?: {
    name?: string;
    arguments?: Record<string, unknown>;
    protocolVersion?: string;
    _meta?: Record<string, unknown>;
  };
}

const METHOD_NOT_FOUND = -32_601;

export async function startMcpServer(tools: Record<string, McpServerTool>): Promise<McpServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    handle(tools, { request, response, requests }).catch((error: unknown) => {
      // The client shows it: a mistake in a test must not look like a connection that died.
      response.writeHead(500).end(String(error));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  requests: string[];
}

async function handle(tools: Record<string, McpServerTool>, { request, response, requests }: Exchange): Promise<void> {
  // No stream of the server's own messages.
  if (request.method !== 'POST') return void response.writeHead(405).end();
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const message = JSON.parse(Buffer.concat(parts).toString('utf8')) as JsonRpcRequest;
  requests.push(message.method);
  if (message.id === undefined) return void response.writeHead(202).end();
  const answer = await answerOf(tools, message, request.headers);
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', id: message.id, ...answer }));
}

async function answerOf(
  tools: Record<string, McpServerTool>,
  { method, params = {} }: JsonRpcRequest,
  headers: IncomingHttpHeaders,
): Promise<object> {
  switch (method) {
    case 'initialize':
      return {
        result: {
          protocolVersion: params.protocolVersion,
          capabilities: { tools: {} },
          serverInfo: { name: 'local', version: '1' },
        },
      };
    case 'tools/list': {
      const list = Object.entries(tools).map(([name, { description, inputSchema }]) => ({
        name,
        description,
        inputSchema,
      }));
      return { result: { tools: list } };
    }
    case 'tools/call': {
      const { _meta: meta = {} } = params;
      const tool = tools[params.name ?? ''];
      if (tool === undefined) return { error: { code: METHOD_NOT_FOUND, message: `No tool ${params.name}` } };
      return {
        result: {
          content: [{ type: 'text', text: await tool.call(params.arguments ?? {}, headers, meta) }],
        },
      };
    }
    default:
      return { error: { code: METHOD_NOT_FOUND, message: `No method ${method}` } };
  }
}
