/**
 * The secrets that a runtime knows, and which of them a run is bound to.
 *
 *  K1 A run has one key for its life: the one under which it was started. What it signs (hook tokens, ids, UUIDs) is the same on replay
 *     when the runtime signs with another one by then.
 *  K2 The input hash of a row begins with the id of its key. Rows of before that have no id: they are of the oldest key.
 */

import { decodeText } from './codec.ts';
import { DurableError } from './errors.ts';
import { secretBytes, signHex } from './signature.ts';
import type { NewRun, Run } from './store.ts';

export interface Key {
  /** Tells keys apart; nothing can be signed with it. */
  readonly id: string;
  readonly bytes: Uint8Array;
}

export interface KeyringOptions {
  /** Newest first: it signs. The others are still known. */
  keys: readonly [Key, ...Key[]];
  /** The key that the store keeps, asked for when a run names one that is not among these. */
  stored: () => Promise<Key>;
}

export class Keyring {
  readonly signing: Key;
  readonly #keys: readonly Key[];
  readonly #stored: () => Promise<Key>;

  constructor({ keys, stored }: KeyringOptions) {
    this.signing = keys[0];
    this.#keys = keys;
    this.#stored = stored;
  }

  hashInput(workflow: string, text: string): string {
    return hashInput(this.signing, workflow, text);
  }

  /** K1. Throws `secret_unknown`. */
  async keyOf({ id, inputHash }: Pick<Run, 'id' | 'inputHash'>): Promise<Key> {
    const key = keyIdOf(inputHash);
    const known = await this.find(key);
    if (known !== undefined) return known;
    throw new DurableError(
      'secret_unknown',
      `Cannot go on with the run "${id}": it was started under a secret that this runtime does not know (key ${key}). ` +
        'Put the former secret behind the new one: createRuntime({ secret: [new, former] }).',
      { details: { run: id, key, known: this.#keys.map((each) => each.id) } },
    );
  }

  /** The key of an id; what names none is of the oldest (K2). */
  async find(id: string | undefined): Promise<Key | undefined> {
    const known = id === undefined ? this.#keys.at(-1) : this.#keys.find((each) => each.id === id);
    if (known !== undefined) return known;
    const stored = await this.#stored();
    return stored.id === id ? stored : undefined;
  }

  /** Whether a run was started with the same workflow and input, under whichever key. Throws `secret_unknown`. */
  async isSameStart(run: Run, asked: NewRun): Promise<boolean> {
    if (run.workflow !== asked.workflow) return false;
    if (run.inputHash === asked.inputHash) return true;
    if (keyIdOf(run.inputHash) === this.signing.id) return false;
    return run.inputHash === hashInput(await this.keyOf(run), asked.workflow, decodeText(asked.input));
  }
}

export function keyFrom(secret: string | Uint8Array): Key {
  const bytes = typeof secret === 'string' ? secretBytes(secret) : secret;
  return { id: signHex(bytes, 'key id').slice(0, 8), bytes };
}

/** The mark of a row whose input was never hashed: it has a key all the same. */
export function unhashedLike(inputHash: string): string {
  const id = keyIdOf(inputHash);
  return id === undefined ? '' : `${id}.`;
}

/** K2 */
function hashInput({ id, bytes }: Key, workflow: string, text: string): string {
  return `${id}.${signHex(bytes, `${workflow}\n${text}`)}`;
}

/** K2 */
export function keyIdOf(inputHash: string): string | undefined {
  const cut = inputHash.indexOf('.');
  return cut < 0 ? undefined : inputHash.slice(0, cut);
}
