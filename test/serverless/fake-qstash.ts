import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SignJWT } from 'jose';

export const KEYS = { currentSigningKey: 'sig_current', nextSigningKey: 'sig_next' };
export const TOKEN = 'qstash_token';

interface Published {
  url: string;
  body: string;
  /** Seconds. */
  notBefore: number;
  deduplicationId: string;
}

export interface Signing {
  key?: string;
  /** Milliseconds. */
  now: number;
  id: string;
}

/** As https://upstash.com/docs/qstash/features/security says. */
export async function signature(
  url: string,
  body: string,
  { key = KEYS.currentSigningKey, now, id }: Signing,
): Promise<string> {
  const seconds = Math.floor(now / 1_000);
  return new SignJWT({ body: createHash('sha256').update(body).digest('base64url') })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setIssuer('Upstash')
    .setSubject(url)
    .setJti(id)
    .setIssuedAt(seconds)
    .setNotBefore(seconds)
    .setExpirationTime(seconds + 300)
    .sign(new TextEncoder().encode(key));
}

/** Speaks QStash's publish API over HTTP, and calls back when a test says that it is time. */
export async function fakeQstash() {
  const waiting: Published[] = [];
  const seen = new Set<string>();
  const refused: number[] = [];
  let deliveries = 0;
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const header = (name: string): string => String(request.headers[name] ?? '');
      const isKnown = header('authorization') === `Bearer ${TOKEN}` && request.method === 'POST';
      const deduplicationId = header('upstash-deduplication-id');
      if (isKnown && !seen.has(deduplicationId)) {
        seen.add(deduplicationId);
        const url = (request.url ?? '').replace('/v2/publish/', '');
        const notBefore = Number(header('upstash-not-before'));
        waiting.push({ url, body: Buffer.concat(parts).toString(), notBefore, deduplicationId });
      }
      response.writeHead(isKnown ? 201 : 401, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ messageId: `msg_${seen.size}` }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    waiting,
    refused,
    /** Calls back for all whose time has come; answers how many. */
    async deliver(now: number): Promise<number> {
      const due = waiting.filter(({ notBefore }) => notBefore * 1_000 <= now);
      for (const message of due) {
        waiting.splice(waiting.indexOf(message), 1);
        deliveries += 1;
        const headers = {
          'content-type': 'application/json',
          'upstash-signature': await signature(message.url, message.body, { now, id: `jwt_${deliveries}` }),
        };
        const answer = await fetch(message.url, { method: 'POST', headers, body: message.body });
        if (!answer.ok) refused.push(answer.status);
      }
      return due.length;
    },
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}
