/** Upstash QStash. https://upstash.com/docs/qstash/howto/signature */

import { jwtVerify } from 'jose';
import type { Verifier } from '../../app/resume-webhook.ts';
import { sha256 } from '@noble/hashes/sha2.js';
import { anyOf, headerOf, secretsOf } from './secrets.ts';

export interface QstashKeys {
  currentSigningKey: string;
  /** What QStash signs with after the keys were rolled. */
  nextSigningKey: string;
}

/**
 * Lets pass what QStash has signed for this URL and body. A delivery is known by the id of its signature. `url` is where the request was
 * published to, if a proxy shows the process another one.
 */
export function qstash(keys: QstashKeys, { url }: { url?: string } = {}): Verifier {
  const secrets = secretsOf([keys?.currentSigningKey, keys?.nextSigningKey], 'qstash');
  return async (request) => {
    const token = headerOf(request.headers, 'upstash-signature');
    const { payload } = await anyOf(secrets, (secret) =>
      jwtVerify(token, new TextEncoder().encode(secret), {
        algorithms: ['HS256'],
        issuer: 'Upstash',
        subject: url ?? request.url,
        currentDate: new Date(request.now),
        requiredClaims: ['exp', 'nbf', 'jti', 'body'],
      }),
    );
    if (withoutPadding(payload['body']) !== bodyHash(request.body)) throw new Error('the signature is of another body');
    return { id: payload.jti };
  };
}

function bodyHash(body: Uint8Array): string {
  return btoa(String.fromCharCode(...sha256(body)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '');
}

function withoutPadding(hash: unknown): string {
  return typeof hash === 'string' ? hash.replace(/=+$/, '') : '';
}
