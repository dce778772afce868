/* App */
export { createApp } from './server/create-app.ts';
export type { AppOptions } from './server/create-app.ts';
export type { StreamType } from './server/stream-endpoints.ts';
export type { AccessRequest, Action, Authorize, Principal } from './server/access.ts';

/* Node server */
export { serve } from './server/serve.ts';
export type { RunningServer, ServerOptions } from './server/serve.ts';
