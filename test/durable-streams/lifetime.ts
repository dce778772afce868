/** How long a stream lives, as the Durable Streams protocol has it: so long after it was last used, or until a moment. */

/** Undefined if the headers do not fit. */
export function readLifetime(headers: Headers): Lifetime | undefined {
  const ttl = headers.get('stream-ttl');
  const expiresAt = headers.get('stream-expires-at');
  if (ttl !== null && expiresAt !== null) return undefined;
  if (ttl !== null && !/^(?:0|[1-9]\d{0,14})$/.test(ttl)) return undefined;
  if (expiresAt !== null && Number.isNaN(Date.parse(expiresAt))) return undefined;
  return new Lifetime(ttl, expiresAt);
}

export class Lifetime {
  readonly headers: Record<string, string>;
  readonly #ttlMs: number;
  #until: number;

  constructor(ttl: string | null, expiresAt: string | null) {
    this.headers = {
      ...(ttl === null ? {} : { 'stream-ttl': ttl }),
      ...(expiresAt === null ? {} : { 'stream-expires-at': expiresAt }),
    };
    this.#ttlMs = ttl === null ? Infinity : Number(ttl) * 1_000;
    this.#until = expiresAt === null ? Infinity : Date.parse(expiresAt);
    this.use();
  }

  /** Read or written: a lifetime that counts from there begins anew. */
  use(): void {
    if (this.#ttlMs !== Infinity) this.#until = Date.now() + this.#ttlMs;
  }

  hasEnded(): boolean {
    return Date.now() >= this.#until;
  }

  isSame(other: Lifetime): boolean {
    return JSON.stringify(this.headers) === JSON.stringify(other.headers);
  }
}
