/** GitHub, and Gitea and Forgejo, which sign as it does. */

import type * as WebhooksMethods from '@octokit/webhooks-methods';
import type { Verifier } from '../../app/resume-webhook.ts';
import { DurableError } from '../../runtime/errors.ts';
import { headerOf, secretsOf } from './secrets.ts';
import type { Secrets } from './secrets.ts';

/**
 * Lets pass what is signed with the secret. A delivery is known by `x-github-delivery`. GitHub signs the body alone, neither a time nor the
 * delivery's id: whoever has got hold of a request can send it again under another id, so take care that what it leads to may happen twice.
 * Needs the package `@octokit/webhooks-methods`; without it requests are refused with `verifier_missing`.
 */
export function github(secret: Secrets): Verifier {
  const [first = '', ...others] = secretsOf(secret, 'github');
  return async ({ headers, text }) => {
    const { verifyWithFallback } = await load();
    const isGenuine = await verifyWithFallback(first, text, headerOf(headers, 'x-hub-signature-256'), others);
    if (!isGenuine) throw new Error('its signature is not one of this secret');
    return { id: headerOf(headers, 'x-github-delivery') };
  };
}

async function load(): Promise<typeof WebhooksMethods> {
  try {
    return await import('@octokit/webhooks-methods');
  } catch (error) {
    throw new DurableError(
      'verifier_missing',
      'Cannot verify a webhook: the package "@octokit/webhooks-methods" is not installed. Run npm install @octokit/webhooks-methods.',
      { retryable: true, cause: error },
    );
  }
}
