/** Hooks: whoever has the token may resume. No principal, no rule about origins. */

import { z } from '@hono/zod-openapi';
import type { ZodType } from 'zod';
import { endpoint, parseJson } from './endpoint.ts';
import type { Endpoint } from './endpoint.ts';
import type { ServerParts } from './server-parts.ts';

interface TokenParams {
  token: string;
}

export function hookEndpoints({ runtime }: ServerParts): Endpoint[] {
  const params: ZodType<TokenParams> = z.object({
    token: z
      .string()
      .min(1)
      .openapi({ param: { name: 'token', in: 'path' }, description: "The hook's token." }),
  });
  return [
    endpoint<TokenParams, undefined, Uint8Array>({
      method: 'post',
      path: '/hooks/{token}',
      summary: 'Resumes a hook; the body is the payload.',
      access: 'open',
      params,
      body: 'raw',
      responses: { 204: { description: 'The payload is stored.' } },
      async handle({ request, params: { token }, body }) {
        const id = request.headers.get('idempotency-key');
        await runtime.resumeHook(token, toPayload(request, body), id === null ? {} : { id: `key:${id}` });
        return new Response(null, { status: 204 });
      },
    }),
  ];
}

/** As its type says; nothing is guessed from the bytes. */
function toPayload(request: Request, body: Uint8Array): unknown {
  if (body.byteLength === 0) return null;
  const type = (request.headers.get('content-type') ?? 'application/json').toLowerCase();
  if (/^application\/(?:[\w.-]+\+)?json\b/.test(type)) return parseJson(body);
  return type.startsWith('text/') ? new TextDecoder().decode(body) : body;
}
