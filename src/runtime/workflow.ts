/** Plain workflows, children and shields, as users write them. */

import { currentFrame, requireContext } from './context.ts';
import { DurableError } from './errors.ts';
import { toMakeLimits } from './limits.ts';
import type { LimitOptions } from './limits.ts';
import type { Registrable, WorkflowDefinition } from './registrable.ts';
import { keyPart } from './key-part.ts';

/** A durable function. Register it with `createRuntime({ workflows })`. */
export interface Workflow<INPUT = unknown, OUTPUT = unknown> extends Registrable<INPUT, OUTPUT> {
  readonly name: string;
}

/**
 * Defines a workflow: a function whose durable calls (`step`, `sleep`, `createHook`, agents, children) are recorded. Other code in it runs
 * again on replay and must do the same again. Await durable calls only; put other awaits into `step()`. The options limit how many of its runs
 * execute at once and begin in a time. Throws `invalid_argument` and `invalid_duration`.
 */
export function workflow<INPUT = void, OUTPUT = unknown>(
  name: string,
  fn: (input: INPUT) => Promise<OUTPUT>,
  options: LimitOptions<NoInfer<INPUT>> = {},
): Workflow<INPUT, OUTPUT> {
  if (typeof name !== 'string' || name === '' || typeof fn !== 'function') {
    throw new DurableError(
      'invalid_argument',
      'Cannot define a workflow: write workflow("name", async (input) => { ... }), the name a string that is not empty.',
    );
  }
  const limits = toMakeLimits(options, `workflow("${name}")`);
  return {
    name,
    toWorkflow: (registered): WorkflowDefinition => ({
      name: registered,
      versions: 'pinned',
      fields: ['input'],
      run: (_context, input) => fn(input as INPUT),
      ...(limits === undefined ? {} : { limits }),
    }),
  };
}

export interface ChildOptions {
  /** Default: derived from the parent's id and the call's position. */
  id?: string;
}

/** An input that may be undefined may be left out. */
type ChildArguments<INPUT> = [INPUT] extends [never]
  ? [input?: unknown, options?: ChildOptions]
  : undefined extends INPUT
    ? [input?: INPUT, options?: ChildOptions]
    : [input: INPUT, options?: ChildOptions];

/**
 * Starts another workflow or agent as a child of the current run and waits for its result. The child is cancelled with its parent.
 * Rejects with the child's error. Throws `workflow_not_found`, `outside_run`, `inside_step`, and `run_conflict` if there is another run with
 * the id that was given.
 */
export function child<RESULT = unknown>(name: string, input?: unknown, options?: ChildOptions): Promise<RESULT>;
export function child<INPUT, RESULT>(
  target: Registrable<INPUT, RESULT>,
  ...given: ChildArguments<NoInfer<INPUT>>
): Promise<RESULT>;
export async function child(
  target: Registrable | string,
  input?: unknown,
  options: ChildOptions = {},
): Promise<unknown> {
  const context = requireContext('child()');
  const name = typeof target === 'string' ? target : 'name' in target ? String(target.name) : 'agent';
  const key = context.nextKey(`child:${keyPart(name)}`);
  const id = options.id ?? `${context.run.id}.${context.sign(`child\n${context.run.id}\n${key}`).slice(0, 16)}`;
  const run = await context.childRun(target, { id, input });
  return context.child(key, run);
}

/** Runs `fn` so that durable calls inside it go on although the run was cancelled: for cleaning up. Outside a run it calls `fn`. */
export async function shield<T>(fn: () => Promise<T> | T): Promise<T> {
  const frame = currentFrame.getStore();
  if (frame === undefined || frame.scope.kind === 'step') return fn();
  const { context } = frame;
  const path = context.nextKey('shield');
  return context.within({ path, kind: 'shield', shielded: true }, async () => fn());
}
