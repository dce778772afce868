/** Slack: https://docs.slack.dev/authentication/verifying-requests-from-slack */

import type { Verifier } from '../../app/resume-webhook.ts';
import { isSigned } from '../../runtime/signature.ts';
import { assertRecent, headerOf, secretsOf } from './secrets.ts';
import type { Secrets } from './secrets.ts';

/**
 * Lets pass what is signed with the app's signing secret, at most 5 minutes ago. An event is known by its `event_id`, other requests by
 * their signature. Answers Slack's question whether this URL is the app's (`url_verification`) by itself.
 */
export function slack(signingSecret: Secrets): Verifier {
  const secrets = secretsOf(signingSecret, 'slack');
  return async ({ headers, text, now }) => {
    const signature = headerOf(headers, 'x-slack-signature');
    const time = headerOf(headers, 'x-slack-request-timestamp');
    assertRecent(time, now);
    const hex = signature.replace(/^v0=/, '');
    if (!secrets.some((secret) => isSigned(`v0:${time}:${text}`, { secret, hex })))
      throw new Error('its signature is not one of this secret');
    const { type, challenge, event_id: event } = fieldsOf(text);
    if (type === 'url_verification' && typeof challenge === 'string') {
      return { response: new Response(challenge, { headers: { 'content-type': 'text/plain' } }) };
    }
    return { id: typeof event === 'string' ? event : signature };
  };
}

/** Of an event; commands and buttons come as forms. */
function fieldsOf(text: string): Record<string, unknown> {
  if (!text.startsWith('{')) return {};
  return JSON.parse(text) as Record<string, unknown>;
}
