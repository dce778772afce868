import { array, assert, constantFrom, jsonValue, property, record } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CallDigests, digestOf } from '../../src/agent/turn/digest.ts';

const message = record({ role: constantFrom('user', 'assistant'), content: array(jsonValue()) });

describe('the digests of a call', () => {
  it('is the same whether it was made at once or went on from the turn before', () => {
    assert(
      property(array(array(message), { maxLength: 6 }), (additions) => {
        const digests = new CallDigests();
        const prompt: unknown[] = [];
        for (const added of additions) {
          prompt.push(...added);
          expect(digests.ofPrompt(structuredClone(prompt))).toBe(digestOf(prompt));
        }
      }),
    );
  });

  it('is that of the prompt although earlier messages were changed, left out or put before', () => {
    assert(
      property(array(array(message), { maxLength: 6 }), (prompts) => {
        const digests = new CallDigests();
        for (const prompt of prompts) expect(digests.ofPrompt(prompt)).toBe(digestOf(prompt));
      }),
    );
    const digests = new CallDigests();
    const file = (byte: number) => [{ role: 'user', content: [{ type: 'file', data: Uint8Array.of(1, byte, 3) }] }];
    expect(digests.ofPrompt(file(2))).not.toBe(digests.ofPrompt(file(4)));
    expect(digests.ofTools([{ name: 'a' }])).toBe(digestOf([{ name: 'a' }]));
    expect(digests.ofTools([{ name: 'b' }])).toBe(digestOf([{ name: 'b' }]));
  });
});
