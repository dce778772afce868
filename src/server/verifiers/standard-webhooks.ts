/** Senders that sign as standardwebhooks.com says: Svix, OpenAI, Supabase, Polar and others. */

import type * as StandardWebhooks from 'standardwebhooks';
import type { Verifier } from '../../app/resume-webhook.ts';
import { DurableError } from '../../runtime/errors.ts';
import { anyOf, headerOf, secretsOf } from './secrets.ts';
import type { Secrets } from './secrets.ts';

/**
 * Lets pass what is signed with the secret (`whsec_...`), at most 5 minutes ago. A delivery is known by `webhook-id`, which is signed.
 * Needs the package `standardwebhooks`; without it requests are refused with `verifier_missing`.
 */
export function standardWebhooks(secret: Secrets): Verifier {
  const secrets = secretsOf(secret, 'standardWebhooks');
  return async ({ headers, text }) => {
    const { Webhook } = await load();
    const id = headerOf(headers, 'webhook-id');
    const named = Object.fromEntries(headers);
    await anyOf(secrets, (each) => new Webhook(each).verify(text, named, { jsonParse: false }));
    return { id };
  };
}

async function load(): Promise<typeof StandardWebhooks> {
  try {
    return await import('standardwebhooks');
  } catch (error) {
    throw new DurableError(
      'verifier_missing',
      'Cannot verify a webhook: the package "standardwebhooks" is not installed. Run npm install standardwebhooks.',
      { retryable: true, cause: error },
    );
  }
}
