/** Calls that go to the database together. */

import type { Clock } from '../../runtime/clock.ts';
import { DurableError } from '../../runtime/errors.ts';

/** Calls that one statement takes. */
const MOST_CALLS = 64;

interface Waiting<Q, A> {
  question: Q;
  resolve: (answer: A) => void;
  reject: (error: unknown) => void;
}

/**
 * What a process asks for in one macrotask is one statement: `ask` sends it, and answers in the order of the questions. A question that fails
 * the statement fails alone.
 */
export function prepareGathering<Q, A>(
  clock: Pick<Clock, 'defer'>,
  ask: (questions: Q[]) => Promise<A[]>,
): (question: Q) => Promise<A> {
  let waiting: Array<Waiting<Q, A>> = [];
  const send = async (calls: Array<Waiting<Q, A>>): Promise<void> => {
    try {
      const answers = await ask(calls.map(({ question }) => question));
      for (const [index, { resolve }] of calls.entries()) resolve(answers[index] as A);
    } catch (error) {
      const isAway = DurableError.is(error) && error.retryable;
      if (calls.length === 1 || isAway) for (const { reject } of calls) reject(error);
      else for (const call of calls) void send([call]);
    }
  };
  const sendAll = (): void => {
    const all = waiting;
    waiting = [];
    for (let at = 0; at < all.length; at += MOST_CALLS) void send(all.slice(at, at + MOST_CALLS));
  };
  return (question) =>
    new Promise((resolve, reject) => {
      waiting.push({ question, resolve, reject });
      if (waiting.length === 1) clock.defer(sendAll);
    });
}
