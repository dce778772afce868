/**
 * Ids of text and reasoning blocks, unique over the turns of one call.
 *
 * Providers number blocks anew in each turn. The SDK renames a block whose id was used before with an id from the generator that
 * also names approvals, at a moment that depends on timing. So ids are made unique here, the same on replay, and the SDK's
 * generator is asked for approvals alone.
 */

import type { StreamPart } from './provider-types.ts';

type Kind = 'text' | 'reasoning';

interface Ids {
  used: Set<string>;
  /** Of the block that was started last under an id. */
  renamed: Map<string, string>;
}

export class PartIds {
  readonly #ids: Record<Kind, Ids> = {
    text: { used: new Set(), renamed: new Map() },
    reasoning: { used: new Set(), renamed: new Map() },
  };

  /** The part with its id made unique; other parts as they are. Call it for each part of each turn, in order. */
  rename(part: StreamPart, turn: number): StreamPart {
    switch (part.type) {
      case 'text-start':
        return this.#start(part, { kind: 'text', turn });
      case 'reasoning-start':
        return this.#start(part, { kind: 'reasoning', turn });
      case 'text-delta':
      case 'text-end':
        return withId(part, this.#ids.text.renamed.get(part.id));
      case 'reasoning-delta':
      case 'reasoning-end':
        return withId(part, this.#ids.reasoning.renamed.get(part.id));
      default:
        return part;
    }
  }

  #start<PART extends StreamPart & { id: string }>(part: PART, { kind, turn }: { kind: Kind; turn: number }): PART {
    const { used, renamed } = this.#ids[kind];
    let unique = part.id;
    for (let suffix = 0; used.has(unique); suffix += 1) {
      unique = `${part.id}:t${turn}${suffix === 0 ? '' : `-${suffix}`}`;
    }
    used.add(unique);
    renamed.set(part.id, unique);
    return withId(part, unique);
  }
}

function withId<PART extends { id: string }>(part: PART, id: string | undefined): PART {
  return id === undefined || id === part.id ? part : { ...part, id };
}
