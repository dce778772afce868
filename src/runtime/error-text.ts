/**
 * Errors as they are stored: small, whatever they hold. A provider's error carries the whole prompt, a parser's the whole
 * document; none of that may keep a failure from being recorded.
 *
 *  T1 An error keeps name, message, stack, brands, causes and small own fields, each level of causes half as much as the one above.
 *  T2 What providers attach of request and response is left out, but for when to come back.
 */

/** Of the message, the stack and all own fields of the outermost error, each. */
const MAX_CHARS = 16_384;
const MAX_CAUSES = 5;
const LEFT_OUT: ReadonlySet<string> = new Set(['requestBodyValues', 'responseBody', 'responseHeaders', 'data']);
const RETRY_HEADERS = ['retry-after', 'retry-after-ms'];
/** Brands of the AI SDK's errors begin with this. */
const SDK_BRAND = 'vercel.ai.error';

export interface ErrorFields {
  name: string;
  message: string;
  stack: string | undefined;
  cause: unknown;
  brands: string[];
  own: Record<string, unknown>;
}

/** An error that caused another, so many levels down. Chains may be endless: they are walked with a depth, not by identity. */
export class CauseAt {
  readonly error: Error;
  readonly depth: number;

  constructor(error: Error, depth: number) {
    this.error = error;
    this.depth = depth;
  }
}

/** A copy of a value if it can be kept in so many characters. */
export type Keep = (value: unknown, maxChars: number) => { value: unknown; chars: number } | undefined;

/** T1 */
export function errorFields(error: Error, { depth, keep }: { depth: number; keep: Keep }): ErrorFields {
  const max = MAX_CHARS >> depth;
  return {
    ...flatFields(error, max),
    cause: causeOf(error.cause, { depth: depth + 1, max, keep }),
    own: ownFields(error, { max, keep }),
  };
}

/** An error inside a field of another: its text and its plain fields. */
export function flatFields(error: Error, max: number = MAX_CHARS >> 3): ErrorFields {
  const own: Record<string, unknown> = {};
  for (const [key, value] of entriesOf(error))
    if (key === 'responseHeaders' || (isPlain(value) && String(value).length <= 256)) own[key] = value;
  return {
    name: cut(error.name, 256),
    message: cut(error.message, max),
    stack: typeof error.stack === 'string' ? cut(error.stack, max) : undefined,
    cause: undefined,
    brands: brandsOf(error),
    own,
  };
}

/** The message of anything that was thrown, cut. Never throws. */
export function messageOfThrown(thrown: unknown, max: number = MAX_CHARS): string {
  try {
    return cut(thrown instanceof Error ? thrown.message : thrown, max);
  } catch {
    return 'an error that cannot be read';
  }
}

function causeOf(cause: unknown, options: { depth: number; max: number; keep: Keep }): unknown {
  if (cause instanceof Error) return options.depth > MAX_CAUSES ? undefined : new CauseAt(cause, options.depth);
  return options.keep(cause, options.max)?.value;
}

function ownFields(error: Error, { max, keep }: { max: number; keep: Keep }): Record<string, unknown> {
  const own: Record<string, unknown> = {};
  let room = max;
  for (const [key, value] of entriesOf(error)) {
    const kept = keep(value, room);
    if (kept === undefined) continue;
    own[key] = kept.value;
    room -= kept.chars;
  }
  return own;
}

/** Its own enumerable fields but those that are kept apart, and what providers attach (T2). */
function entriesOf(error: Error): Array<[string, unknown]> {
  const entries = Object.entries(error).filter(
    ([key]) => key !== 'name' && key !== 'message' && key !== 'stack' && key !== 'cause',
  );
  if (!brandsOf(error).some((brand) => brand.startsWith(SDK_BRAND))) return entries;
  const headers = 'responseHeaders' in error ? retryHeaders(error.responseHeaders) : undefined;
  const small = entries.filter(([key]) => !LEFT_OUT.has(key));
  return headers === undefined ? small : [...small, ['responseHeaders', headers]];
}

function retryHeaders(headers: unknown): Record<string, unknown> | undefined {
  if (typeof headers !== 'object' || headers === null) return undefined;
  const kept = Object.entries(headers).filter(([name]) => RETRY_HEADERS.includes(name.toLowerCase()));
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

function brandsOf(error: Error): string[] {
  return Object.getOwnPropertySymbols(error)
    .map((symbol) => Symbol.keyFor(symbol))
    .filter((key): key is string => key !== undefined);
}

function isPlain(value: unknown): boolean {
  return value === null || ['string', 'number', 'boolean', 'undefined', 'bigint'].includes(typeof value);
}

/** Errors of foreign code may have anything where a text belongs. */
export function cut(value: unknown, max: number): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? typeof value);
  return text.length <= max ? text : `${text.slice(0, max)}... (cut: ${text.length} characters)`;
}
