import { createRuntime } from 'everturn';
import type { Runtime } from 'everturn';
import { createApp } from 'everturn/server';
import type { Principal } from 'everturn/server';
import { sqliteStore } from 'everturn/sqlite';
import { agent } from './agent';

/** Outlives this file, which `next dev` loads again after a save. */
const shared = globalThis as { everturn?: Runtime };

let app: ReturnType<typeof createApp> | undefined;

/** The app of this version of the code. Made at the first request, so that a build opens no database. */
export function getApp(): ReturnType<typeof createApp> {
  app ??= createApp(takeOver(), { authorize });
  return app;
}

/** The runtime of the code before hands its runs over; they go on where they were. */
function takeOver(): Runtime {
  const before = shared.everturn;
  if (before !== undefined && process.env.NODE_ENV === 'production') return before;
  before?.close().catch((error: unknown) => console.error('The runtime of the code before did not close.', error));
  shared.everturn = createRuntime({ store: sqliteStore('everturn.db'), agents: { trips: agent } });
  return shared.everturn;
}

/** Everybody may do everything here. Yours reads the session, and answers a Response where there is none. */
function authorize(): Principal {
  return { id: 'traveller' };
}
