/** The other process of the Postgres bench: a worker on the same database, until the parent disconnects. */

import { createRuntime } from 'everturn';
import { postgresStore } from 'everturn/postgres';
import { answer, readArgument } from './child.ts';
import { resumed, streamed } from './postgres-workflows.ts';

const { url } = readArgument() as { url: string };
const runtime = createRuntime({ store: postgresStore({ connectionString: url }), workflows: [resumed, streamed] });
// Its worker runs and listens.
await runtime.list({ limit: 1 });
await answer('ready');
process.once('disconnect', () => void runtime.close({ graceMs: 100 }));
