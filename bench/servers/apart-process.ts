/** The other process of the benches of servers: a worker on the same store, until the parent disconnects. */

import { createRuntime } from 'everturn';
import { openStore } from '../../test/support/open-store.ts';
import { answer, readArgument } from '../child.ts';
import { resumed, streamed } from './apart-workflows.ts';

const { url } = readArgument() as { url: string };
const runtime = createRuntime({ store: openStore(url), workflows: [resumed, streamed] });
// Its worker runs and listens.
await runtime.list({ limit: 1 });
await answer('ready');
process.once('disconnect', () => void runtime.close({ graceMs: 100 }));
