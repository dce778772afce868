import { describe, expect, it } from 'vitest';
import { callDigest } from '../../src/agent/tool/approval-memory.ts';

describe('calls count as equal', () => {
  it.each<[what: string, a: unknown, b: unknown]>([
    ['whatever the order of properties', { a: 1, b: { c: 2, d: [3] } }, { b: { d: [3], c: 2 }, a: 1 }],
    [
      'with dates and maps that are the same',
      { on: new Date(0), of: new Map([[1, 2]]) },
      { of: new Map([[1, 2]]), on: new Date(0) },
    ],
  ])('%s', (_, a, b) => {
    expect(callDigest('pay', a)).toBe(callDigest('pay', b));
  });

  it.each<[what: string, a: unknown, b: unknown]>([
    ['of other values', { a: 1 }, { a: 2 }],
    ['of other types', { a: 1 }, { a: '1' }],
    ['in another order of a list', [1, 2], [2, 1]],
    ['of other maps', { of: new Map([[1, 2]]) }, { of: new Map([[1, 3]]) }],
    ['of other big numbers', { a: 1n }, { a: 2n }],
    ['with a property that is undefined, and without', { a: undefined }, {}],
    ['that look alike', { entries: [['a', 1]] }, { a: 1 }],
  ])('but not %s', (_, a, b) => {
    expect(callDigest('pay', a)).not.toBe(callDigest('pay', b));
  });

  it('but not of another tool', () => {
    expect(callDigest('pay', {})).not.toBe(callDigest('refund', {}));
  });
});
