import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { initialState } from '../../src/agent/run/agent-state.ts';
import type { AgentState } from '../../src/agent/run/agent-state.ts';
import { applyChange, changeOf } from '../../src/agent/run/state-change.ts';

function stateOf({ texts, shown }: { texts: string[]; shown: string[] }): AgentState {
  const state = initialState('run_1');
  return {
    ...state,
    messages: texts.map((content) => ({ role: 'assistant', content })),
    uiMessage: { ...state.uiMessage, parts: shown.map((text) => ({ type: 'text', text })) },
    text: texts.at(-1) ?? '',
  };
}

const texts = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 8 });
const state = fc.record({ texts, shown: texts }).map(stateOf);

describe('what a segment has changed', () => {
  it('makes the next state of the former one, which is left as it was', () => {
    fc.assert(
      fc.property(state, state, (former, next) => {
        const before = structuredClone(former);
        expect(applyChange(former, structuredClone(changeOf(former, next)))).toEqual(next);
        expect(former).toEqual(before);
      }),
    );
  });

  it('holds of a list only what is new and what is another now', () => {
    const former = stateOf({ texts: ['a', 'b'], shown: ['a', 'b', 'c'] });
    const next = stateOf({ texts: ['a', 'b', 'c'], shown: ['x', 'b', 'c', 'd'] });
    const { messages, uiMessage } = changeOf(former, structuredClone(next));
    expect(messages).toEqual({ kept: 2, changed: [], added: [{ role: 'assistant', content: 'c' }] });
    expect(uiMessage.parts).toEqual({
      kept: 3,
      changed: [[0, { type: 'text', text: 'x' }]],
      added: [{ type: 'text', text: 'd' }],
    });
  });
});
