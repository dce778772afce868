/** What `runtime.start` takes, and how it is taken apart: options of the run, and the content for the agent or workflow. */

import type { UIMessageChunk } from 'ai';
import type { CallableAgent } from '../agent/call/agent-call.ts';
import type { Registrable, WorkflowDefinition } from '../runtime/registrable.ts';
import type { WhenBusy } from '../runtime/store.ts';
import { DurableError } from '../runtime/errors.ts';
import type { RunHandle } from './run-handle.ts';

/** What every run can be started with. */
export interface StartOptions {
  /** Idempotency key and id of the run. Default: a new one. */
  id?: string;
  /** The conversation that the run belongs to. At most one run of a thread is active. */
  thread?: string;
  tenant?: string;
  /** Free facts to filter by. */
  attributes?: Record<string, string>;
  /** What happens if the thread has an active run. Default 'reject'. */
  whenBusy?: WhenBusy;
  /** The run that this one replaces in its thread's history. */
  supersedes?: string;
}

/** What a run is started with where only its name is known. */
export interface StartInput extends StartOptions {
  /** A workflow's argument. */
  input?: unknown;
  /** An agent's content: `prompt`, `message` or `messages`, and `options`. */
  [content: string]: unknown;
}

interface Typed<INPUT, RESULT> {
  readonly types?: (input: INPUT) => RESULT;
}
type InputOf<TARGET> = TARGET extends Typed<infer INPUT, unknown> ? INPUT : never;
type ResultOf<TARGET> = TARGET extends Typed<never, infer RESULT> ? RESULT : unknown;

/** The second argument of `start`. Where a workflow's input may be undefined it may be left out. */
type StartArguments<TARGET> = [InputOf<TARGET>] extends [never]
  ? [start?: StartInput]
  : TARGET extends CallableAgent
    ? [start: InputOf<TARGET> & StartOptions]
    : undefined extends InputOf<TARGET>
      ? [start?: StartOptions & { input?: InputOf<TARGET> }]
      : [start: StartOptions & { input: InputOf<TARGET> }];

type ChunkOf<TARGET> = TARGET extends CallableAgent ? UIMessageChunk : unknown;

/** `runtime.start`: an agent takes its content beside the options, a workflow its argument as `input`. */
export interface Start {
  <RESULT = unknown>(name: string, start?: StartInput): Promise<RunHandle<RESULT>>;
  <TARGET extends Registrable>(
    target: TARGET,
    ...start: StartArguments<TARGET>
  ): Promise<RunHandle<ResultOf<TARGET>, ChunkOf<TARGET>>>;
}

/** The same as it is implemented: what stands in `start` is checked when it runs. */
export type UntypedStart = (target: Registrable | string, start?: StartInput) => Promise<RunHandle>;

const BUSY: readonly string[] = ['reject', 'queue', 'steer', 'interrupt'];

export interface SplitStart {
  id?: string;
  thread?: string;
  tenant?: string;
  attributes?: Record<string, string>;
  whenBusy?: WhenBusy;
  supersedes?: string;
  content: unknown;
}

/** Throws `invalid_argument`, naming the field. */
export function splitStart({ name, fields }: WorkflowDefinition, start: StartInput): SplitStart {
  if (typeof start !== 'object' || start === null || Array.isArray(start)) {
    throw invalid(
      name,
      'its second argument is not an object',
      'Write runtime.start(workflow, { input }) or runtime.start(agent, { prompt }).',
    );
  }
  checkOptions(name, start);
  const options: Record<string, unknown> = {};
  const content: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(start)) {
    const isOption = RUN_OPTIONS.has(field);
    if (!isOption && !fields.includes(field)) {
      throw invalid(name, `it takes no "${field}"`, `It takes ${[...fields, ...RUN_OPTIONS].join(', ')}.`);
    }
    if (value !== undefined) (isOption ? options : content)[field] = value;
  }
  return {
    ...(options as Omit<SplitStart, 'content'>),
    content: fields.includes('input') ? content['input'] : content,
  };
}

const RUN_OPTIONS: ReadonlySet<string> = new Set(['id', 'thread', 'tenant', 'attributes', 'whenBusy', 'supersedes']);

function checkOptions(name: string, { id, thread, tenant, supersedes, whenBusy, attributes = {} }: StartInput): void {
  for (const [field, value] of Object.entries({ id, thread, tenant, supersedes })) {
    if (value !== undefined && (typeof value !== 'string' || value === '')) {
      throw invalid(name, `"${field}" is not a string with content`, `Leave ${field} out or pass a string.`);
    }
  }
  if (whenBusy !== undefined && !BUSY.includes(whenBusy)) {
    throw invalid(name, `whenBusy is ${JSON.stringify(whenBusy)}`, `Use one of ${BUSY.join(', ')}.`);
  }
  if (typeof attributes !== 'object' || attributes === null) {
    throw invalid(name, 'attributes is no object', 'Write { plan: "pro" }, or leave it out.');
  }
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value !== 'string') {
      throw invalid(name, `the attribute "${key}" is not a string`, 'Attributes are strings to filter by.');
    }
  }
}

function invalid(name: string, why: string, form: string): DurableError {
  return new DurableError('invalid_argument', `Cannot start "${name}": ${why}. ${form}`, { details: { name } });
}
