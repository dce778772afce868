/**
 * A short digest of JSON-like values: it tells prompts apart for people, nothing is looked up by it. Not for secrets.
 *
 * Two lanes of 32 bits (cyrb53's mixing, public domain) over what is there, without making text or bytes of it first.
 */

import { isSame } from './same-json.ts';

const MIX_A = 2_654_435_761;
const MIX_B = 1_597_334_677;
/** Between what a list or a record holds; beyond the units of text. */
const LIST = 0x1_0000;
const RECORD = 0x1_0001;
const END = 0x1_0002;

export function digestOf(value: unknown): string {
  const digest = new Digest();
  digest.add(value);
  return digest.text();
}

/**
 * Digests of the prompts and tools of one call's turns. Each prompt mostly is the one before and something new: its digest goes on where
 * that of the part they share ended, and is the same that `digestOf` makes.
 *
 * Hot: once per turn, files included (bench `agent`).
 */
export class CallDigests {
  #prompt: readonly unknown[] = [];
  /** After the messages of `#prompt`. */
  #state: Digest = openList();
  #tools: { value: unknown; digest: string } | undefined;

  ofPrompt(prompt: readonly unknown[]): string {
    const known = this.#prompt;
    const goesOn = known.length <= prompt.length && known.every((message, index) => isSame(message, prompt[index]));
    if (!goesOn) this.#state = openList();
    for (const message of goesOn ? prompt.slice(known.length) : prompt) this.#state.add(message);
    this.#prompt = prompt;
    return this.#state.closedList();
  }

  ofTools(value: unknown): string {
    if (this.#tools === undefined || !isSame(this.#tools.value, value))
      this.#tools = { value, digest: digestOf(value) };
    return this.#tools.digest;
  }
}

function openList(): Digest {
  const digest = new Digest();
  digest.openList();
  return digest;
}

class Digest {
  #a: number;
  #b: number;

  constructor(a = 0xdeadbeef, b = 0x41c6ce57) {
    this.#a = a;
    this.#b = b;
  }

  openList(): void {
    this.#mix(LIST);
  }

  /** The digest if the list ended here; it may go on. */
  closedList(): string {
    const closed = new Digest(this.#a, this.#b);
    closed.#mix(END);
    return closed.text();
  }

  /** Undefined members count as missing ones, as in JSON. */
  add(value: unknown): void {
    if (typeof value === 'string') this.#addText(value);
    else if (value instanceof Uint8Array) this.#addBytes(value);
    else if (typeof value === 'object' && value !== null) this.#addMembers(value);
    else this.#addText(`~${String(value)}`);
  }

  text(): string {
    const a = Math.imul(this.#a ^ (this.#a >>> 16), 2246822507) ^ Math.imul(this.#b ^ (this.#b >>> 13), 3266489909);
    const b = Math.imul(this.#b ^ (this.#b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
    return (a >>> 0).toString(16).padStart(8, '0') + (b >>> 0).toString(16).padStart(8, '0');
  }

  #addMembers(value: object): void {
    if (Array.isArray(value)) {
      this.#mix(LIST);
      for (const item of value) this.add(item);
      this.#mix(END);
      return;
    }
    if ('toJSON' in value && typeof value.toJSON === 'function') {
      this.add(value.toJSON());
      return;
    }
    this.#mix(RECORD);
    for (const key of Object.keys(value)) {
      const item = (value as Record<string, unknown>)[key];
      if (item === undefined) continue;
      this.#addText(key);
      this.add(item);
    }
    this.#mix(END);
  }

  /** The length first: what follows cannot be taken for a part of it. */
  #addText(text: string): void {
    this.#mix(text.length);
    let a = this.#a;
    let b = this.#b;
    for (let i = 0; i < text.length; i += 1) {
      const unit = text.charCodeAt(i);
      a = Math.imul(a ^ unit, MIX_A);
      b = Math.imul(b ^ unit, MIX_B);
    }
    this.#a = a;
    this.#b = b;
  }

  #addBytes(bytes: Uint8Array): void {
    this.#mix(bytes.length);
    let a = this.#a;
    let b = this.#b;
    for (const byte of bytes) {
      a = Math.imul(a ^ byte, MIX_A);
      b = Math.imul(b ^ byte, MIX_B);
    }
    this.#a = a;
    this.#b = b;
  }

  #mix(unit: number): void {
    this.#a = Math.imul(this.#a ^ unit, MIX_A);
    this.#b = Math.imul(this.#b ^ unit, MIX_B);
  }
}
