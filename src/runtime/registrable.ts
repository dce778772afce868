/** What the runtime knows of a workflow or an agent: a function to run, and how it is versioned. */

import type { RunContext } from './context.ts';
import type { MakeLimits } from './limits.ts';
import type { StreamWrite } from './store.ts';

export interface Registrable<INPUT = never, RESULT = unknown> {
  toWorkflow(name: string): WorkflowDefinition;
  /** What its runs take and answer, for the compiler alone: it is never set. */
  readonly types?: (input: INPUT) => RESULT;
}

export interface WorkflowDefinition {
  name: string;
  /** `pinned`: runs stay with the version that started them; `newest`: any version may go on with them. */
  versions: 'pinned' | 'newest';
  /** Fields that a start takes beside its options: `input` alone is the input, others are its fields. */
  fields: readonly string[];
  /** What its runs share; of the input as it is stored. */
  limits?: MakeLimits;
  /** Executed for each run, again from its top on replay. */
  run: (context: RunContext, input: unknown) => Promise<unknown>;
  /** Checks and completes what `runtime.start` was given; throws `payload_invalid` or `invalid_argument`. */
  parseInput?: (input: unknown) => Promise<unknown>;
  /**
   * Called instead of `run`'s end when messages came after it had returned: goes on and returns the new result. Without
   * it the messages are journaled and the run ends.
   */
  reopen?: (context: RunContext, result: unknown) => Promise<unknown>;
  /** Chunks that are written with the commit of an end, completed or settled, and not at all if it is refused. */
  closing?: (context: RunContext) => StreamWrite[];
  /**
   * Called once before a failed or cancelled end is committed: what the run leaves behind for its thread (a result payload), and user
   * messages that nobody consumed.
   */
  settle?: (context: RunContext, end: { status: 'failed' | 'cancelled'; error: unknown }) => Promise<SettledEnd>;
}

export interface SettledEnd {
  result: unknown;
  /** They are started as runs of the thread when this one has ended; the ids are those of the messages. */
  leftover: Array<{ id: string; input: unknown; inputHash: string | null }>;
}
