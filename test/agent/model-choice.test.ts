import { APICallError, LoadAPIKeyError, RetryError } from 'ai';
import { describe, expect, it } from 'vitest';
import { isRetryableFailure } from '../../src/agent/turn/model-choice.ts';

function refused(statusCode: number): APICallError {
  return new APICallError({ message: 'no', url: 'http://model', requestBodyValues: {}, statusCode });
}

describe('a failed turn', () => {
  it.each([
    ['a rate limit', refused(429), true],
    ['a failing server', refused(500), true],
    ['a socket that died', new TypeError('terminated'), true],
    ['a refused request', refused(400), false],
    ['a missing API key', new LoadAPIKeyError({ message: 'no key' }), false],
    [
      'the last of several attempts',
      new RetryError({ message: 'spent', reason: 'maxRetriesExceeded', errors: [refused(500), refused(400)] }),
      false,
    ],
  ])('after %s is tried again only if that can help', (_, error, retryable) => {
    expect(isRetryableFailure(error)).toBe(retryable);
  });
});
