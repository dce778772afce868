/** Stripe, by the application's own client. */

import type { Verifier } from '../../app/resume-webhook.ts';
import { DurableError } from '../../runtime/errors.ts';
import { anyOf, headerOf, secretsOf } from './secrets.ts';
import type { Secrets } from './secrets.ts';

/** What is used of `new Stripe(...)`. */
export interface StripeClient {
  webhooks: {
    constructEventAsync(payload: string, header: string, secret: string): Promise<{ id: string }>;
  };
}

/**
 * Lets pass what is signed with the endpoint's secret (`whsec_...`), at most 5 minutes ago. A delivery is known by its event's id, which is
 * signed: Stripe sends an event again with the same one.
 */
export function stripe(client: StripeClient, secret: Secrets): Verifier {
  const secrets = secretsOf(secret, 'stripe');
  if (typeof client?.webhooks?.constructEventAsync !== 'function') {
    throw new DurableError(
      'invalid_argument',
      'Cannot create stripe(): its first argument is no client of Stripe. Write stripe(new Stripe(apiKey), endpointSecret).',
    );
  }
  return async ({ headers, text }) => {
    const signature = headerOf(headers, 'stripe-signature');
    const { id } = await anyOf(secrets, (each) => client.webhooks.constructEventAsync(text, signature, each));
    return { id };
  };
}
