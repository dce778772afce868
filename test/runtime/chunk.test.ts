import type { UIMessageChunk } from 'ai';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeText, MAX_VALUE_BYTES } from '../../src/runtime/codec.ts';
import { assertJson, decodeChunk, encodeChunk } from '../../src/runtime/chunk.ts';
import { missingEnd } from '../../src/streams/end.ts';
import { decodeOffset, encodeOffset } from '../../src/streams/wire.ts';

function errorOf(run: () => unknown): unknown {
  try {
    run();
    return undefined;
  } catch (error) {
    return error;
  }
}

describe('a chunk', () => {
  it('comes back as JSON keeps it', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        assertJson(value);
        expect(decodeChunk(encodeChunk(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
    expect(decodeChunk(encodeChunk({ a: undefined, at: new Date(0) }))).toEqual({ at: '1970-01-01T00:00:00.000Z' });
  });

  it('comes back as bytes if it was bytes', () => {
    const bytes = new Uint8Array([0, 1, 255]);
    expect(decodeChunk(encodeChunk(bytes))).toEqual(bytes);
    expect(decodeChunk(encodeChunk(new Uint8Array(0)))).toEqual(new Uint8Array(0));
  });

  it('is refused with its path where it has no JSON text', () => {
    const circle: Record<string, unknown> = { list: [] };
    circle['list'] = [1, { self: circle }];
    expect(errorOf(() => encodeChunk({ a: [{ n: 1n }] }))).toMatchObject({
      code: 'value_not_serializable',
      details: { path: '.a[0].n' },
    });
    expect(errorOf(() => encodeChunk(circle))).toMatchObject({
      code: 'value_not_serializable',
      details: { path: '.list[1].self' },
    });
    expect(errorOf(() => encodeChunk(undefined))).toMatchObject({
      code: 'value_not_serializable',
      details: { path: '' },
    });
    expect(errorOf(() => encodeChunk(() => 1))).toMatchObject({
      code: 'value_not_serializable',
      message: expect.stringContaining('it is function'),
    });
  });

  it('is refused on request where reading it back would give something else', () => {
    for (const [value, path] of [
      [{ m: new Map() }, '.m'],
      [[1, Number.NaN], '[1]'],
      [{ f: () => 1 }, '.f'],
      [{ deep: [{ s: Symbol('s') }] }, '.deep[0].s'],
      [[undefined], '[0]'],
      [{ bytes: new Uint8Array(1) }, '.bytes'],
    ] as const) {
      expect(errorOf(() => assertJson(value))).toMatchObject({ code: 'value_not_serializable', details: { path } });
    }
  });

  it('is refused if it is too large', () => {
    expect(errorOf(() => encodeChunk('x'.repeat(MAX_VALUE_BYTES)))).toMatchObject({ code: 'value_too_large' });
    expect(errorOf(() => encodeChunk(new Uint8Array(MAX_VALUE_BYTES + 1)))).toMatchObject({ code: 'value_too_large' });
  });

  it('says so if its stored bytes are damaged', () => {
    expect(errorOf(() => decodeChunk(encodeText('{"half":', 'a test')))).toMatchObject({ code: 'value_corrupt' });
  });
});

describe('an offset on the wire', () => {
  it('has 16 digits, sorts as text and comes back', () => {
    expect(encodeOffset(42)).toBe('0000000000000042');
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => {
        expect(decodeOffset(encodeOffset(a))).toBe(a);
        expect(encodeOffset(a) < encodeOffset(b)).toBe(a < b);
      }),
    );
  });

  it('takes plain numbers and nothing else', () => {
    expect(decodeOffset('7')).toBe(7);
    for (const text of ['', '-1', 'now', '1.5', '0x10', ' 1', '1\n', '9007199254740992', '00000000000000001'])
      expect(decodeOffset(text)).toBeUndefined();
  });
});

describe('the end that a closed stream lacks', () => {
  const text: UIMessageChunk = { type: 'text-end', id: 't' };
  const ends = (last: UIMessageChunk | undefined, status: 'completed' | 'failed' | 'cancelled'): string[] =>
    missingEnd(last, { status, errorText: 'the model failed' }).map((chunk) => chunk.type);

  it('is nothing after finish', () => {
    for (const status of ['completed', 'failed', 'cancelled'] as const)
      expect(ends({ type: 'finish' }, status)).toEqual([]);
  });

  it('is finish after abort and error, and what happened before it elsewhere', () => {
    expect(ends({ type: 'abort' }, 'cancelled')).toEqual(['finish']);
    expect(ends({ type: 'error', errorText: 'x' }, 'failed')).toEqual(['finish']);
    expect(ends(text, 'completed')).toEqual(['finish']);
    expect(ends(text, 'cancelled')).toEqual(['abort', 'finish']);
    expect(ends(undefined, 'failed')).toEqual(['error', 'finish']);
    expect(missingEnd(text, { status: 'failed', errorText: 'the model failed' })[0]).toEqual({
      type: 'error',
      errorText: 'the model failed',
    });
  });
});
