/**
 * A short digest of JSON-like values: it tells prompts apart for people, nothing is looked up by it. Not for secrets.
 *
 * Hot: the whole prompt once per turn, files included (bench `agent`). Two lanes of 32 bits (cyrb53's mixing, public domain) over what is
 * there, without making text or bytes of it first.
 */

export function digestOf(value: unknown): string {
  const digest = new Digest();
  digest.add(value);
  return digest.text();
}

class Digest {
  #a = 0xdeadbeef;
  #b = 0x41c6ce57;

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
    if ('toJSON' in value && typeof value.toJSON === 'function') {
      this.add(value.toJSON());
      return;
    }
    const isList = Array.isArray(value);
    this.#mix(isList ? 0x5b : 0x7b);
    for (const [key, item] of Object.entries(value)) {
      if (item === undefined) continue;
      if (!isList) this.#addText(key);
      this.add(item);
    }
    this.#mix(isList ? 0x5d : 0x7d);
  }

  /** The length first: what follows cannot be taken for a part of it. */
  #addText(text: string): void {
    this.#mix(text.length);
    for (let i = 0; i < text.length; i += 1) this.#mix(text.charCodeAt(i));
  }

  #addBytes(bytes: Uint8Array): void {
    this.#mix(bytes.length);
    for (const byte of bytes) this.#mix(byte);
  }

  #mix(unit: number): void {
    this.#a = Math.imul(this.#a ^ unit, 2654435761);
    this.#b = Math.imul(this.#b ^ unit, 1597334677);
  }
}
