import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/agent/turn/digest.ts';

const prompt = (text: string, file = new Uint8Array([1, 2, 3])): unknown => [
  {
    role: 'user',
    content: [
      { type: 'text', text },
      { type: 'file', data: file, at: new Date(5) },
    ],
  },
];

describe('the digest of a prompt', () => {
  it('is the same for equal prompts', () => {
    expect(digestOf(prompt('Hi'))).toBe(digestOf(structuredClone(prompt('Hi'))));
    expect(digestOf(prompt('Hi'))).toMatch(/^[0-9a-f]{16}$/);
  });

  it('differs where a text, a byte of a file or the structure differs', () => {
    const others = [
      prompt('Ho'),
      prompt('Hi', new Uint8Array([1, 2, 4])),
      [['a'], 'b'],
      [['a', 'b']],
      { a: 'b' },
      ['a', 'b'],
      'ab',
      '',
      null,
      0,
      false,
    ].map(digestOf);
    expect(new Set([...others, digestOf(prompt('Hi'))]).size).toBe(others.length + 1);
  });

  it('takes an undefined member for a missing one, and a date for its text, as JSON does', () => {
    expect(digestOf({ a: 1, b: undefined })).toBe(digestOf({ a: 1 }));
    expect(digestOf(new Date(0))).toBe(digestOf('1970-01-01T00:00:00.000Z'));
  });
});
