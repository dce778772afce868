/** What the endpoints of one app share. */

import type { Runtime } from '../app/create-runtime.ts';
import type { Frames } from './frames.ts';
import type { Heartbeats } from './heartbeats.ts';
import type { RunKey, RunState } from './run-state.ts';
import type { SharedStates } from './shared-state.ts';
import type { ThreadKey, ThreadState } from './thread-state.ts';

export interface ServerParts {
  runtime: Runtime;
  /** The agent that chats. */
  agent: string;
  frames: Frames;
  heartbeats: Heartbeats;
  runStates: SharedStates<RunKey, RunState>;
  threadStates: SharedStates<ThreadKey, ThreadState>;
}
