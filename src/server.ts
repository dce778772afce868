/* App */
export { createApp } from './server/create-app.ts';
export type { AppOptions } from './server/create-app.ts';
export type { StreamType } from './server/stream-endpoints.ts';
export { createHandler } from './server/handler.ts';
export type { HandlerOptions } from './server/handler.ts';
export { qstashDelivery } from './server/qstash-delivery.ts';
export type { QstashDeliveryOptions } from './server/qstash-delivery.ts';
export type { AccessRequest, Action, Authorize, Principal } from './server/access.ts';

/* Verifiers of webhooks */
export { github } from './server/verifiers/github.ts';
export { qstash } from './server/verifiers/qstash.ts';
export type { QstashKeys } from './server/verifiers/qstash.ts';
export { slack } from './server/verifiers/slack.ts';
export { standardWebhooks } from './server/verifiers/standard-webhooks.ts';
export { stripe } from './server/verifiers/stripe.ts';
export type { StripeClient } from './server/verifiers/stripe.ts';
export type { Secrets } from './server/verifiers/secrets.ts';
export type { SignedRequest, VerifiedRequest, Verifier } from './app/resume-webhook.ts';

/* Node server */
export { serve } from './server/serve.ts';
export type { RunningServer, ServerOptions } from './server/serve.ts';
