/**
 * Ids of text and reasoning blocks, unique over the turns of one call.
 *
 * Providers number blocks anew in each turn. The SDK renames a block whose id was used before with an id from the generator that
 * also names approvals, at a moment that depends on timing. So ids are made unique here, the same on replay, and the SDK's
 * generator is asked for approvals alone.
 */

import type { StreamPart } from './provider-types.ts';

const BLOCK = /^(text|reasoning)-(start|delta|end)$/;

export class PartIds {
  readonly #used = new Set<string>();
  readonly #renamed = new Map<string, string>();

  /** The part with its id made unique; other parts as they are. Call it for each part of each turn, in order. */
  rename(part: StreamPart, turn: number): StreamPart {
    const block = BLOCK.exec(part.type);
    if (block === null || !('id' in part)) return part;
    const kind = block[1] ?? '';
    const key = `${kind}:${part.id}`;
    if (block[2] === 'start') this.#renamed.set(key, this.#reserve(kind, part.id, turn));
    const id = this.#renamed.get(key) ?? part.id;
    return id === part.id ? part : { ...part, id };
  }

  #reserve(kind: string, id: string, turn: number): string {
    let unique = id;
    for (let suffix = 0; this.#used.has(`${kind}:${unique}`); suffix += 1) {
      unique = `${id}:t${turn}${suffix === 0 ? '' : `-${suffix}`}`;
    }
    this.#used.add(`${kind}:${unique}`);
    return unique;
  }
}
