/** A turn that no model was asked for: a budget stopped the run. It is recorded as an empty response, so that the loop ends there, on replay too. */

import type { CallState, Turn } from '../call/call-state.ts';
import type { BudgetStop } from '../budget-answer.ts';
import type { FinishPart, StreamPart, Usage } from './provider-types.ts';
import type { TurnRecord } from './turn-record.ts';

const NOTHING: Usage = {
  inputTokens: { total: 0, noCache: 0, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 0, text: 0, reasoning: undefined },
};

/** What callers see: `finishReason` is "other", `rawFinishReason` this. */
export const STOPPED_BY_BUDGET = 'budget';

const FINISH: Omit<FinishPart, 'type'> = {
  usage: NOTHING,
  finishReason: { unified: 'other', raw: STOPPED_BY_BUDGET },
};

/** Resolves when it is recorded. It has no row in the ledger: nothing was used. */
export function recordStoppedTurn(
  call: CallState,
  turn: Turn,
  { stop, mode }: { stop: BudgetStop; mode: 'stream' | 'generate' },
): Promise<TurnRecord> {
  return call.perform<TurnRecord>({
    key: turn.key,
    kind: 'turn',
    label: STOPPED_BY_BUDGET,
    body: () => (mode === 'stream' ? { parts: partsOf(call, turn) } : { generated: generatedOf(call, turn) }),
    meta: () => ({ finishReason: FINISH.finishReason.unified, stopped: STOPPED_BY_BUDGET, by: stop.by }),
    alongside: () => {
      turn.sealed = true;
      return { facts: turn.facts };
    },
  });
}

function partsOf(call: CallState, turn: Turn): StreamPart[] {
  return [
    { type: 'stream-start', warnings: [] },
    { type: 'response-metadata', id: call.responseId(turn), timestamp: new Date(call.context.now()) },
    { type: 'finish', ...FINISH },
  ];
}

function generatedOf(call: CallState, turn: Turn): NonNullable<TurnRecord['generated']> {
  const response = { id: call.responseId(turn), timestamp: new Date(call.context.now()) };
  return { content: [], ...FINISH, warnings: [], response };
}
