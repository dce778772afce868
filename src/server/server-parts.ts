/** What the endpoints of one app share. */

import type { Runtime } from '../app/create-runtime.ts';
import type { Verifier } from '../app/resume-webhook.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/logger.ts';
import type { Connections } from './connections.ts';
import type { Encoders } from './encoders.ts';
import type { Heartbeats } from './heartbeats.ts';
import type { RunKey, RunState } from './run-state.ts';
import type { SharedStates } from './shared-state.ts';
import type { StreamType } from './stream-endpoints.ts';
import type { ThreadKey, ThreadState } from './thread-state.ts';

export interface ServerParts {
  runtime: Runtime;
  /** The agent that chats; null: none does. */
  agent: string | null;
  clock: Clock;
  logger: Logger;
  /** In [0, 1). */
  random(): number;
  connections: Connections;
  encoders: Encoders;
  heartbeats: Heartbeats;
  runStates: SharedStates<RunKey, RunState>;
  threadStates: SharedStates<ThreadKey, ThreadState>;
  streamType: StreamType;
  /** Of webhooks, by name. */
  verifiers: Readonly<Record<string, Verifier>>;
  maxBodyBytes: number;
}
