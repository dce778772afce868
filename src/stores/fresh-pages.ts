/**
 * What the last transaction added to streams. Readers at their tails are woken by it and ask for just that: they get it without a look
 * at the tables.
 *
 *  P1 A page is what the tables would answer, as far as this process can know: it counts while the version stays as it was. In a SQLite file
 *     that is `data_version`, and until this connection's next transaction begins. With a server it is the macrotask of the answer, until another
 *     answer comes in.
 *  P2 Of a run that the same transaction ended there is no page, since its streams are closed with it. Retention has transactions of its own.
 */

import type { Commit, CommitResult, Hint, StreamPage } from '../runtime/store.ts';

export interface PageRequest {
  run: string;
  stream: string;
  from: number;
  maxBytes: number;
}

export class FreshPages {
  readonly #readVersion: () => number;
  /** Of each run by the stream's name. */
  readonly #pages = new Map<string, Map<string, StreamPage>>();
  /** The version that the pages belong to; undefined while their transaction is under way. */
  #version: number | undefined;

  constructor(readVersion: () => number) {
    this.#readVersion = readVersion;
  }

  /** A transaction begins, or was rolled back. */
  clear(): void {
    this.#version = undefined;
    this.#pages.clear();
  }

  /** Chunks that the transaction under way has put at a stream's tail. */
  add({ run, stream }: Pick<PageRequest, 'run' | 'stream'>, page: StreamPage): void {
    let pages = this.#pages.get(run);
    if (pages === undefined) this.#pages.set(run, (pages = new Map()));
    const before = pages.get(stream);
    const chunks = before === undefined ? page.chunks : [...before.chunks, ...page.chunks];
    pages.set(stream, { ...page, chunks, from: page.tail - chunks.length });
  }

  /** The transaction is about to be committed, and will tell so. While it lasts no other connection commits. `version`: that of the pages. */
  seal(hints: readonly Hint[], version: number = this.#readVersion()): void {
    if (this.#pages.size === 0) return;
    for (const hint of hints) if (hint.kind === 'run') this.#pages.delete(hint.run); // P2
    this.#version = version;
  }

  /** Undefined where the tables have to be asked. */
  find({ run, stream, from, maxBytes }: PageRequest): StreamPage | undefined {
    if (this.#version === undefined) return undefined;
    const page = this.#pages.get(run)?.get(stream);
    if (page === undefined || from < page.from || from > page.tail) return undefined;
    const chunks = page.chunks.slice(from - page.from);
    if (bytesOf(chunks) > maxBytes) return undefined;
    return this.#readVersion() === this.#version ? { ...page, chunks, from } : undefined; // P1
  }
}

interface Answered {
  batch: readonly Commit[];
  results: readonly CommitResult[];
  hints: readonly Hint[];
  /** Default: the present one. */
  version?: number;
}

/** What the server has answered to a batch, for the readers that the hints wake. A closed stream is left to the server. */
export function keepFresh(fresh: FreshPages, { batch, results, hints, version }: Answered): void {
  fresh.clear();
  // It was repeated, and what it did at first is not said again.
  if (hints.some(({ kind }) => kind === 'any')) return;
  for (const [index, { run, chunks, then }] of batch.entries()) {
    const result = results[index];
    if (result?.kind !== 'applied' || then.kind === 'end' || chunks.some(({ close }) => close)) continue;
    for (const { stream, chunks: written } of chunks) {
      const tail = result.tails[stream] ?? 0;
      fresh.add({ run, stream }, { chunks: written, from: tail - written.length, tail, closed: false });
    }
  }
  fresh.seal(hints, version);
}

function bytesOf(chunks: StreamPage['chunks']): number {
  let bytes = 0;
  for (const chunk of chunks) bytes += chunk.length;
  return bytes;
}
