/**
 * Tools of an MCP server as durable tools: the list is a recorded step, each call is a tool of the agent that makes it, and the connection is
 * made when something has to be asked of the server. A run that is replayed whole needs none.
 *
 *  X1 A call that an agent's run makes carries its idempotency key in `_meta`, the same in each attempt. The client of `@ai-sdk/mcp` has no
 *     parameter for it: its `request`, which it does not document, gets it. A client without one is used as it is, with a warning.
 */

import { dynamicTool, jsonSchema } from 'ai';
import type { Tool, ToolExecutionOptions, ToolSet } from 'ai';
import { currentFrame } from '../runtime/context.ts';
import { step } from '../runtime/step.ts';
import { idempotencyKeyOf } from './tool-metadata.ts';

/** What is used of the client of `@ai-sdk/mcp`. */
export interface McpClient<DEFINITIONS extends McpDefinitions = McpDefinitions> {
  listTools(options?: { params?: { cursor?: string } }): Promise<DEFINITIONS>;
  toolsFromDefinitions(definitions: DEFINITIONS): object;
  close(): Promise<void>;
}

export interface McpDefinitions {
  tools: Array<{ name: string; inputSchema: object }>;
  nextCursor?: string | undefined;
}

export interface McpTools {
  /** The server's tools; inside a run the list is recorded. Call it in an agent's `prepareCall`, or in a workflow. */
  tools(): Promise<ToolSet>;
  /** Closes the connection, if there is one; a later call opens another. */
  close(): Promise<void>;
}

/** What the journal keeps of a list: enough to make the tools without the server. */
interface RecordedList {
  definitions: McpDefinitions;
  tools: Array<Pick<RecordedTool, 'name' | 'description' | 'title' | 'metadata' | '_meta'>>;
}

interface RecordedTool {
  name: string;
  description?: string;
  title?: string;
  metadata?: Tool['metadata'];
  _meta?: unknown;
  execute?: (input: unknown, options: ToolExecutionOptions<unknown>) => unknown;
}

/** In `_meta` of `tools/call`. MCP asks for a prefix that is one's own. */
const IDEMPOTENCY_KEY = 'everturn/idempotencyKey';

interface McpRequest {
  request: { method: string; params?: { _meta?: object } };
}

type ModelOutput = Awaited<ReturnType<NonNullable<Tool['toModelOutput']>>>;

/**
 * Connects to an MCP server when it has to. Calls of an agent's run carry their idempotency key as `everturn/idempotencyKey` in `_meta`.
 * `connect` opens a client of `@ai-sdk/mcp` (`createMCPClient`); it is called again after a
 * call failed, since the connection may be gone.
 *
 * @example
 * const crm = mcpTools('crm', () => createMCPClient({ transport: { type: 'http', url } }));
 * new DurableAgent({ model, prepareCall: async (call) => ({ ...call, tools: { ...call.tools, ...(await crm.tools()) } }) });
 */
export function mcpTools<DEFINITIONS extends McpDefinitions>(
  name: string,
  connect: () => Promise<McpClient<DEFINITIONS>>,
): McpTools {
  const connection = new Connection<DEFINITIONS>(connect);
  return {
    tools: async () => {
      const list = await step(`mcp:${name}`, () => connection.use((client) => listTools(client)));
      return Object.fromEntries(list.tools.map((tool) => [tool.name, toTool(tool, { list, connection })]));
    },
    close: () => connection.close(),
  };
}

async function listTools<DEFINITIONS extends McpDefinitions>(client: McpClient<DEFINITIONS>): Promise<RecordedList> {
  let page = await client.listTools();
  const all = [...page.tools];
  while (page.nextCursor !== undefined && page.nextCursor !== null) {
    page = await client.listTools({ params: { cursor: page.nextCursor } });
    all.push(...page.tools);
  }
  const definitions: McpDefinitions = { tools: all };
  const tools = client.toolsFromDefinitions(definitions as DEFINITIONS) as Record<string, RecordedTool>;
  return { definitions, tools: Object.entries(tools).map(([name, tool]) => surfaceOf(name, tool)) };
}

function surfaceOf(
  name: string,
  { description, title, metadata, _meta: meta }: RecordedTool,
): RecordedList['tools'][number] {
  return {
    name,
    ...(description === undefined ? {} : { description }),
    ...(title === undefined ? {} : { title }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(meta === undefined ? {} : { _meta: meta }),
  };
}

function toTool<DEFINITIONS extends McpDefinitions>(
  { name, ...surface }: RecordedList['tools'][number],
  { list, connection }: { list: RecordedList; connection: Connection<DEFINITIONS> },
): Tool {
  const definition = list.definitions.tools.find((candidate) => candidate.name === name);
  const schema = definition?.inputSchema ?? {};
  return {
    ...dynamicTool({
      inputSchema: jsonSchema({
        ...schema,
        properties: 'properties' in schema ? schema.properties : {},
        additionalProperties: false,
      } as Parameters<typeof jsonSchema>[0]),
      execute: (input, options) => {
        const key = idempotencyKeyOf(options.toolCallId);
        return connection.use((client) => {
          const keyed = key === undefined ? client : withKey(client, { key, tool: name });
          const tools = keyed.toolsFromDefinitions(list.definitions as DEFINITIONS) as Record<string, RecordedTool>;
          return tools[name]?.execute?.(input, options);
        });
      },
      toModelOutput: ({ output }) => mcpToModelOutput(output),
    }),
    ...surface,
  } as Tool;
}

/** X1. The client, for one call. */
function withKey<DEFINITIONS extends McpDefinitions>(
  client: McpClient<DEFINITIONS>,
  { key, tool }: { key: string; tool: string },
): McpClient<DEFINITIONS> {
  const { request } = client as { request?: unknown };
  if (typeof request !== 'function') {
    const logger = currentFrame.getStore()?.context.logger;
    logger?.warn({ tool }, 'this MCP client has no "request": its calls carry no idempotency key');
    return client;
  }
  const keyed = ({ request: asked, ...rest }: McpRequest): unknown => {
    const { _meta: meta, ...params } = asked.params ?? {};
    const keyedParams = { ...params, _meta: { ...meta, [IDEMPOTENCY_KEY]: key } };
    const call = { ...rest, request: { ...asked, params: keyedParams } };
    return Reflect.apply(request, client, [call]);
  };
  return Object.create(client, { request: { value: keyed } }) as McpClient<DEFINITIONS>;
}

/** As `@ai-sdk/mcp` does it, which replay must do without its client. */
function mcpToModelOutput(output: unknown): ModelOutput {
  if (typeof output === 'string') return { type: 'text', value: output };
  if (typeof output !== 'object' || output === null || !('content' in output) || !Array.isArray(output.content)) {
    return { type: 'json', value: (output ?? null) as Extract<ModelOutput, { type: 'json' }>['value'] };
  }
  return { type: 'content', value: output.content.map((part: McpPart) => toModelPart(part)) };
}

interface McpPart {
  type: string;
  text?: string;
  data?: string;
  mimeType?: string;
}

function toModelPart(part: McpPart): Extract<ModelOutput, { type: 'content' }>['value'][number] {
  if (part.type === 'text' && part.text !== undefined) return { type: 'text', text: part.text };
  if (part.type === 'image' && part.data !== undefined && part.mimeType !== undefined) {
    return { type: 'file', mediaType: part.mimeType, data: { type: 'data', data: part.data } };
  }
  return { type: 'text', text: JSON.stringify(part) };
}

/** One client at a time, opened on use. After a failure it is left for a new one, and closed when its last call has ended. */
class Connection<DEFINITIONS extends McpDefinitions> {
  readonly #connect: () => Promise<McpClient<DEFINITIONS>>;
  #current: Open<DEFINITIONS> | undefined;

  constructor(connect: () => Promise<McpClient<DEFINITIONS>>) {
    this.#connect = connect;
  }

  async use<T>(work: (client: McpClient<DEFINITIONS>) => T | Promise<T>): Promise<T> {
    const open = (this.#current ??= { client: this.#connect(), calls: 0, left: false });
    open.calls += 1;
    try {
      return await work(await open.client);
    } catch (error) {
      open.left = true;
      if (this.#current === open) this.#current = undefined;
      throw error;
    } finally {
      open.calls -= 1;
      if (open.left && open.calls === 0) await closeQuietly(open);
    }
  }

  async close(): Promise<void> {
    const open = this.#current;
    this.#current = undefined;
    if (open === undefined) return;
    open.left = true;
    if (open.calls === 0) await (await open.client).close();
  }
}

interface Open<DEFINITIONS extends McpDefinitions> {
  client: Promise<McpClient<DEFINITIONS>>;
  calls: number;
  left: boolean;
}

/** The failure that led here is the one to report; a client that never opened has nothing to close. */
async function closeQuietly<DEFINITIONS extends McpDefinitions>({ client }: Open<DEFINITIONS>): Promise<void> {
  await client.then((opened) => opened.close()).catch(() => undefined);
}
