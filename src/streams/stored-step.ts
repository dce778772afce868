/** What is stored of a step that is written once more, word for word: what is still missing of it. */

import type { UIMessageChunk } from 'ai';
import { addMerged } from './fold.ts';

/** The n-th chunk of a type and id stands for the n-th stored one; of a text what is longer than the stored one is missing. */
export class StoredStep {
  readonly #left = new Map<string, number>();
  readonly #texts = new Map<string, { stored: string; written: string }>();
  readonly #passed: UIMessageChunk[] = [];
  readonly #identityOf: (chunk: UIMessageChunk) => string;

  constructor(stored: Iterable<UIMessageChunk>, identityOf: (chunk: UIMessageChunk) => string) {
    this.#identityOf = identityOf;
    for (const chunk of stored) {
      const delta = textOf(chunk);
      if (delta === undefined) this.#count(identityOf(chunk), 1);
      else this.#textOf(chunk).stored += delta;
    }
  }

  /** All chunks that `missing` was asked for, deltas merged. */
  get passed(): readonly UIMessageChunk[] {
    return this.#passed;
  }

  /** What is to be appended for the next chunk; undefined if the stored step says something else. */
  missing(chunk: UIMessageChunk): UIMessageChunk[] | undefined {
    addMerged(this.#passed, chunk);
    const delta = textOf(chunk);
    if (delta !== undefined) return this.#missingText(chunk, delta);
    if (isBlockEnd(chunk) && this.#isCut(chunk)) return undefined;
    return this.#count(this.#identityOf(chunk), -1) > 0 ? [] : [chunk];
  }

  #missingText(chunk: UIMessageChunk, delta: string): UIMessageChunk[] | undefined {
    const text = this.#textOf(chunk);
    const before = text.written.length;
    text.written += delta;
    const { stored, written } = text;
    if (stored.startsWith(written)) return [];
    if (!written.startsWith(stored)) return undefined;
    return [withText(chunk, written.slice(Math.max(before, stored.length)))];
  }

  /** More of the block is stored than was written now. */
  #isCut(end: UIMessageChunk): boolean {
    const { stored, written } = this.#textOf(end);
    return written.length < stored.length;
  }

  /** Answers the count before. */
  #count(identity: string, by: number): number {
    const count = this.#left.get(identity) ?? 0;
    this.#left.set(identity, count + by);
    return count;
  }

  #textOf(chunk: UIMessageChunk): { stored: string; written: string } {
    const { id, toolCallId } = chunk as Partial<Record<'id' | 'toolCallId', unknown>>;
    const key = JSON.stringify([chunk.type.replace(/-(delta|end)$/, ''), id ?? toolCallId ?? null]);
    let text = this.#texts.get(key);
    if (text === undefined) this.#texts.set(key, (text = { stored: '', written: '' }));
    return text;
  }
}

function isBlockEnd({ type }: UIMessageChunk): boolean {
  return type === 'text-end' || type === 'reasoning-end';
}

function textOf(chunk: UIMessageChunk): string | undefined {
  if (chunk.type === 'text-delta' || chunk.type === 'reasoning-delta') return chunk.delta;
  return chunk.type === 'tool-input-delta' ? chunk.inputTextDelta : undefined;
}

function withText(chunk: UIMessageChunk, text: string): UIMessageChunk {
  if (chunk.type === 'tool-input-delta') return { ...chunk, inputTextDelta: text };
  return { ...chunk, delta: text } as UIMessageChunk;
}
