/** Endpoints: their schemas validate what comes in and describe it in the OpenAPI document. */

import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ZodType } from 'zod';
import type { Access, AccessRequest, Caller } from './access.ts';
import { DurableError, reasonOf } from '../runtime/errors.ts';
import { invalidArgument } from './http-error.ts';
import { PEER } from './peer.ts';
import type { PeerEnv } from './peer.ts';
import { readBody } from '../app/request-body.ts';

/** A request whose parts fit their schemas. */
export interface Call<PARAMS, QUERY, BODY> {
  request: Request;
  params: PARAMS;
  query: QUERY;
  body: BODY;
  /** Who asks. Throws if they may not. */
  allow(access: AccessRequest): Promise<Caller>;
}

export interface EndpointSpec<PARAMS, QUERY, BODY> {
  method: 'get' | 'post';
  /** Below the base path, `{id}` for parameters. */
  path: string;
  summary: string;
  /** `open`: no principal and no rule about origins. */
  access?: 'open';
  /** Served by the same handler, and not in the OpenAPI document. */
  otherMethods?: string[];
  /** Other methods than GET and HEAD answer 405, and not that there is nothing here. */
  isReadOnly?: boolean;
  params?: ZodType<PARAMS>;
  query?: ZodType<QUERY>;
  /** `raw`: bytes as they came; `unread`: the handler reads them from the request. */
  body?: ZodType<BODY> | 'raw' | 'unread';
  /** By status; `2XX` is a range. */
  responses: Record<number | string, EndpointResponse>;
  handle(call: Call<PARAMS, QUERY, BODY>): Promise<Response>;
}

export interface EndpointResponse {
  description: string;
  schema?: ZodType;
  /** Default: JSON. */
  type?: string;
  /** Of several types. */
  content?: Record<string, ZodType>;
}

export type Endpoint = EndpointSpec<unknown, unknown, unknown>;

/** Ties a handler's types to its schemas. */
export function endpoint<PARAMS = undefined, QUERY = undefined, BODY = undefined>(
  spec: EndpointSpec<PARAMS, QUERY, BODY>,
): Endpoint {
  return spec;
}

export interface ServeOptions {
  access: Access;
  basePath: string;
  maxBodyBytes: number;
  /** Schema of the body of every error. */
  errorSchema: ZodType;
}

export function addEndpoint(app: OpenAPIHono, endpoint: Endpoint, options: ServeOptions): void {
  const { method, path } = endpoint;
  const whole = `${options.basePath}${path}`;
  const route = whole.replaceAll(/\{(\w+)\}/g, ':$1');
  app.openAPIRegistry.registerPath({ method, path: whole, ...describe(endpoint, options.errorSchema) });
  app.on([method.toUpperCase(), ...(endpoint.otherMethods ?? [])], route, (context) =>
    serve(context, endpoint, options),
  );
  if (endpoint.isReadOnly === true) app.on(WRITES, route, ({ req }) => refuseWrite(req.method, req.path));
}

const WRITES = ['PUT', 'POST', 'PATCH', 'DELETE'];

function refuseWrite(method: string, path: string): never {
  throw new DurableError(
    'method_not_allowed',
    `Cannot ${method} ${path}: it can only be read. What is written there comes from a run's own code.`,
    { details: { method, path } },
  );
}

type Description = Omit<Parameters<OpenAPIHono['openAPIRegistry']['registerPath']>[0], 'method' | 'path'>;

function describe({ summary, params, query, body, responses }: Endpoint, errorSchema: ZodType): Description {
  const described = Object.entries(responses).map(([status, response]) => [status, describeResponse(response)]);
  const content =
    body === 'raw' || body === 'unread' || body === undefined
      ? { 'application/octet-stream': {} }
      : { 'application/json': { schema: body } };
  return {
    summary,
    request: {
      ...(params === undefined ? {} : { params: params as never }),
      ...(query === undefined ? {} : { query: query as never }),
      ...(body === undefined ? {} : { body: { content } }),
    },
    responses: {
      ...(Object.fromEntries(described) as Description['responses']),
      default: { description: 'An error.', content: { 'application/json': { schema: errorSchema } } },
    },
  };
}

function describeResponse({ description, schema, type = 'application/json', content }: EndpointResponse): {
  description: string;
  content?: Record<string, { schema: ZodType }>;
} {
  const schemas = content ?? (schema === undefined ? undefined : { [type]: schema });
  if (schemas === undefined) return { description };
  return {
    description,
    content: Object.fromEntries(Object.entries(schemas).map(([name, each]) => [name, { schema: each }])),
  };
}

async function serve(context: Context, endpoint: Endpoint, options: ServeOptions): Promise<Response> {
  const request = context.req.raw;
  const { access } = options;
  if (endpoint.access !== 'open') access.admit(request, (context.env as PeerEnv | undefined)?.[PEER]);
  const call = {
    request,
    params: check(endpoint.params, context.req.param(), 'the path'),
    query: check(endpoint.query, readQuery(context.req.queries()), 'the query'),
    body: await readPayload(request, endpoint, options),
    allow: (asked: AccessRequest) => access.allow(request, asked),
  };
  return endpoint.handle(call);
}

/** A parameter that is given once is a text, else a list. */
function readQuery(query: Record<string, string[]>): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(query).map(([name, values]) => [name, values.length === 1 ? (values[0] ?? '') : values]),
  );
}

async function readPayload(request: Request, { body }: Endpoint, { maxBodyBytes }: ServeOptions): Promise<unknown> {
  if (body === undefined || body === 'unread') return undefined;
  const bytes = await readBody(request, maxBodyBytes);
  return body === 'raw' ? bytes : check(body, parseJson(bytes), 'the body');
}

export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch (error) {
    const why = reasonOf(error);
    throw invalidArgument(`Cannot read the body: it is not JSON (${why}).`, { field: '(body)' });
  }
}

function check(schema: ZodType | undefined, value: unknown, where: string): unknown {
  if (schema === undefined) return undefined;
  const checked = schema.safeParse(value);
  if (checked.success) return checked.data;
  const issues = checked.error.issues.map(({ path, message }) => ({
    path: path.length === 0 ? '(root)' : path.map(String).join('.'),
    message,
  }));
  const said = issues.map(({ path, message }) => `"${path}": ${message}`).join('; ');
  throw invalidArgument(`Cannot take this request: ${where} does not fit. ${said}.`, {
    field: issues[0]?.path ?? '(root)',
    issues,
  });
}
