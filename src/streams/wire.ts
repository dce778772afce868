/** How stream positions look on the wire. Imports nothing, so that browsers can load it. */

/** The stream that agents write to and that `getWritable()` means. */
export const DEFAULT_STREAM = 'default';

/** Type of the part that links a tool call to the run that it has started: `{ runId, workflow, toolCallId }`. */
export const CHILD_PART = 'data-run';

/** Type of the part that shows a question; its id is the question's, and its data are `QuestionData`: the last ones count. */
export const QUESTION_PART = 'data-question';

export interface QuestionOption {
  value: string | number | boolean;
  label: string;
}

/** A question as a message shows it. */
export interface QuestionData {
  /** `closed`: the run was stopped before. */
  status: 'pending' | 'answered' | 'expired' | 'closed';
  prompt: string;
  /** What can be chosen; null: `schema` says what an answer is. */
  options: QuestionOption[] | null;
  /** JSON Schema of the answer; null if its schema has none. */
  schema: unknown;
  /** The agent's tool that asks. */
  tool: string;
  toolCallId: string;
  askedAt: number;
  expiresAt: number | null;
  answer?: unknown;
  answeredBy?: string | null;
  answeredAt?: number;
}

/**
 * Type of the part that shows an approval which an agent below asks for, one that a tool calls or a child run; its id is the approval's, and its
 * data are `ApprovalRequestData`: the last ones count.
 */
export const APPROVAL_PART = 'data-approval-request';

/** An approval of an inner call as the message of the agent at the top shows it. */
export interface ApprovalRequestData {
  /** `expired`: nobody decided in time. `closed`: the run was stopped before. */
  status: 'pending' | 'approved' | 'denied' | 'expired' | 'closed';
  /** From the agent at the top over those below it to the tool: `["support", "research", "shell"]`. */
  path: string[];
  /** The run whose call it is. */
  run: string;
  /** The tool call of this message below which it is asked. */
  toolCallId: string;
  /** The tool that is to run. */
  tool: string;
  input: unknown;
  /** JSON Schema of what the tool accepts, for an edit; null if there is none. */
  inputSchema: unknown;
  question: 'execute' | 'in-doubt' | 'budget';
  /** If the question is `budget`. */
  budget?: BudgetWait;
  reason: string | null;
  prompt: string | null;
  approvers: string[] | null;
  /** How many distinct people must approve. */
  needed: number;
  requestedAt: number;
  requestedBy: string | null;
  expiresAt: number | null;
  /** Who decided; null if that is not one person's doing. */
  decidedBy?: string | null;
}

/** What an approval about a budget asks. Dollars, milliseconds, or how many. */
export interface BudgetWait {
  crossed: Array<{ of: 'run' | 'thread' | 'tenant'; limit: string; used: number; allowed: number }>;
  /** What an approval raises that does not say otherwise. */
  proposed: Record<string, number>;
  /** Cheaper models to choose from. */
  models: string[];
}

const OFFSET_DIGITS = 16;

/**
 * An offset as 16 zero-padded decimal digits: it sorts as text, and serves as SSE `id:`, Durable Streams `offset` and
 * `startIndex` alike. It is the number of chunks before the position.
 */
export function encodeOffset(offset: number): string {
  return String(offset).padStart(OFFSET_DIGITS, '0');
}

/** Takes unpadded digits too. Undefined for anything else, and for numbers that JavaScript does not hold exactly. */
export function decodeOffset(text: string): number | undefined {
  if (!/^\d{1,16}$/.test(text)) return undefined;
  const offset = Number(text);
  return Number.isSafeInteger(offset) ? offset : undefined;
}

/** Header of a response: its handle. */
export const RUN_ID_HEADER = 'x-workflow-run-id';
/** Header of a response: the index of the last stored chunk, counted from the handle. */
export const TAIL_INDEX_HEADER = 'x-workflow-stream-tail-index';
/** Header of a request: the id of the last event that was received. */
export const LAST_EVENT_ID_HEADER = 'last-event-id';

/** Header of a response from a run's stream: where the next read goes on; of one that follows, where it begins. */
export const NEXT_OFFSET_HEADER = 'stream-next-offset';

/**
 * What a client accepts that comes back by itself when a stream is cut. A parameter of a header that pages may send anywhere: another
 * header would have to be allowed by the server's rules for other origins.
 */
export const ACCEPT_EVENTS = 'text/event-stream;reconnect=1';
export const RECONNECTING: RegExp = /text\/event-stream\s*;\s*reconnect=1/i;

/** Headers of every event stream. The AI SDK's, and what keeps proxies from buffering and compressing. */
export const STREAM_HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/event-stream',
  'x-vercel-ai-ui-message-stream': 'v1',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
};

/** Events of a run's stream whose data are bytes, in base64. */
export const BYTES_EVENT = 'bytes';

/** What stands in the last frame of a response that has ended. */
export const DONE = '[DONE]';

/** A connection without a byte for longer than this twice is dead. */
export const HEARTBEAT_MS = 15_000;

/** Events of a thread's stream: the state of the thread, and the beginning of a run. Chunks are unnamed. */
export const THREAD_EVENT = 'thread';
export const RUN_EVENT = 'run';

/** The position in a thread before its first run. */
export const THREAD_START = 'start';

/** A place in a run's stream: a response handle, or a position in a thread. */
export interface Position {
  run: string;
  offset: number;
}

/** `<run id>~<offset>`: the name of the response that begins there. */
export function encodeHandle({ run, offset }: Position): string {
  return `${run}~${offset}`;
}

/** `<run id>~<16 digits>`: so much of a thread was received. */
export function encodePosition({ run, offset }: Position): string {
  return `${run}~${encodeOffset(offset)}`;
}

/** Takes handles and positions. Undefined for anything else. */
export function decodePosition(text: string): Position | undefined {
  const cut = text.lastIndexOf('~');
  const offset = cut < 1 ? undefined : decodeOffset(text.slice(cut + 1));
  return offset === undefined ? undefined : { run: text.slice(0, cut), offset };
}

/** Data of a `thread` event, and part of a history. */
export interface ThreadStatus<MESSAGE = unknown, WAIT = unknown> {
  id: string;
  /** The run that has the thread to itself. */
  run: { id: string; status: 'running' | 'waiting' | 'parked'; messageId: string; waits: WAIT[] } | null;
  /** The runs that come after it, and what starts them. */
  queued: Array<{ runId: string; messages: MESSAGE[]; by: string | null }>;
}

/** Data of a `run` event. */
export interface RunBeginning<MESSAGE = unknown> {
  runId: string;
  /** Of the assistant's message that follows. */
  messageId: string;
  /** What started the run. */
  messages: MESSAGE[];
  /** Who sent them; null if that was not told. */
  by: string | null;
  /** The run whose messages these replace. */
  supersedes: string | null;
}
