/** The witness: every request, what was answered, and how it ended. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import type { FaultKind } from './faults.ts';

/**
 * How a request ended. `open` is not yet; `failed` is an error event in mid-stream; `aborted` means that the client left;
 * `rejected` was answered with a 4xx or 5xx before a response began.
 */
export type Outcome = 'open' | 'completed' | 'incomplete' | 'cut' | 'failed' | 'hung' | 'aborted' | 'rejected';

/** One request. It is live: status, outcome and counts change until `outcome` is no longer `open`. */
export interface LogEntry {
  readonly id: string;
  readonly time: string;
  /** The request's body as it was parsed. */
  readonly request: unknown;
  readonly stream: boolean;
  /** Hash of instructions and messages: equal histories have equal hashes. Empty if the history is invalid. */
  conversation: string;
  scenario: string | null;
  turn: number;
  /** The random token of the response: in its first, middle and last words and in its ids. */
  token: string | null;
  status: number;
  outcome: Outcome;
  fault: FaultKind | null;
  error: string | null;
  /** Paced pieces (words, pieces of arguments) that were sent. */
  sentTokens: number;
  /** The whole response that was planned, in the API's form; the client got all of it only if it completed. */
  output: readonly OutputItem[];
}

/** An item of a response as its API sends it. */
export type OutputItem = Readonly<Record<string, unknown>>;

/** An item of a finished response and the item before it in that response. */
export interface StoredItem {
  item: OutputItem;
  before: OutputItem | undefined;
}

export interface RequestLog {
  readonly entries: readonly LogEntry[];
  add(entry: LogEntry): void;
  /** Tells waiting readers that an entry changed. */
  changed(): void;
  /** Ends an entry that is still open and writes it to the file. Later calls for it do nothing. */
  settle(entry: LogEntry, outcome: Outcome): void;
  /** The item of a finished response with this id, as OpenAI keeps it for `item_reference`. */
  find(itemId: string): StoredItem | undefined;
  /** Resolves with the first entry for which the predicate holds, now or after a later change. */
  until(predicate: (entry: LogEntry) => boolean): Promise<LogEntry>;
}

/** With a file, each ended request is one JSON line, and finished responses of earlier processes can be referred to. */
export function createRequestLog(file?: string): RequestLog {
  const entries: LogEntry[] = [];
  const stored = new Map<unknown, StoredItem>();
  for (const output of file ? readOutputs(file) : []) keep(stored, output);
  const waiting = new Set<() => boolean>();
  const changed = (): void => {
    for (const check of waiting) if (check()) waiting.delete(check);
  };
  return {
    entries,
    changed,
    add(entry) {
      entries.push(entry);
      changed();
    },
    settle(entry, outcome) {
      if (entry.outcome !== 'open') return;
      entry.outcome = outcome;
      if (isFinished(outcome)) keep(stored, entry.output);
      if (file) appendFileSync(file, `${JSON.stringify(entry)}\n`);
      changed();
    },
    find: (itemId) => stored.get(itemId),
    until(predicate) {
      return new Promise((resolve) => {
        waiting.add(() => {
          const entry = entries.find(predicate);
          if (entry) resolve(entry);
          return entry !== undefined;
        });
        changed();
      });
    },
  };
}

// A response that did not reach its end was never stored, so nothing may refer to its items.
function isFinished(outcome: Outcome): boolean {
  return outcome === 'completed' || outcome === 'incomplete';
}

function keep(stored: Map<unknown, StoredItem>, output: readonly OutputItem[]): void {
  for (const [index, item] of output.entries()) stored.set(item['id'], { item, before: output[index - 1] });
}

function readOutputs(file: string): (readonly OutputItem[])[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
  const entries = lines.map((line) => JSON.parse(line) as LogEntry);
  return entries.filter((entry) => isFinished(entry.outcome)).map((entry) => entry.output);
}
