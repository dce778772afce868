/** Webhooks: requests of other systems. Whoever has the URL may send, unless the webhook names a verifier. */

import { z } from '@hono/zod-openapi';
import type { ZodType } from 'zod';
import { endpoint } from './endpoint.ts';
import type { Endpoint } from './endpoint.ts';
import { SAFE_HEADERS } from './http-error.ts';
import type { ServerParts } from './server-parts.ts';

interface TokenParams {
  token: string;
}

export function webhookEndpoints({ runtime, verifiers, maxBodyBytes }: ServerParts): Endpoint[] {
  const params: ZodType<TokenParams> = z.object({
    token: z
      .string()
      .min(1)
      .openapi({ param: { name: 'token', in: 'path' }, description: "The webhook's token." }),
  });
  return [
    endpoint<TokenParams>({
      method: 'post',
      otherMethods: ['GET', 'PUT', 'PATCH', 'DELETE'],
      path: '/webhooks/{token}',
      summary: 'Brings a webhook a request, with any method that it takes.',
      access: 'open',
      params,
      body: 'unread',
      responses: {
        202: { description: 'The request is stored.' },
        '2XX': { description: 'It is stored, and this is what the run answers: any status, headers and body.' },
      },
      async handle({ request, params: { token } }) {
        const answer = await runtime.resumeWebhook(token, request, { verifiers, maxBodyBytes });
        for (const [name, value] of Object.entries(SAFE_HEADERS)) {
          if (!answer.headers.has(name)) answer.headers.set(name, value);
        }
        return answer;
      },
    }),
  ];
}
