/**
 * What a segment has changed of its run's state: the value of its checkpoint. A state is all changes so far, one after another, so a run
 * of n segments writes O(n), however long its conversation is.
 *
 *  D1 applyChange(former, changeOf(former, next)) equals next.
 *  D2 What stayed is not written again, wherever in a list it stands: an approval of an earlier segment changes when it is answered,
 *     a data part whenever a tool says so.
 */

import type { ModelMessage, UIMessage } from 'ai';
import type { RunContext } from '../../runtime/context.ts';
import { NO_TERMS } from '../tool/approval-terms.ts';
import { isSame } from '../turn/same-json.ts';
import { initialState } from './agent-state.ts';
import type { AgentState, PendingApproval } from './agent-state.ts';

export interface StateChange extends Omit<AgentState, 'messages' | 'uiMessage'> {
  messages: ListChange<ModelMessage>;
  uiMessage: Omit<UIMessage, 'parts'> & { parts: ListChange<UIMessage['parts'][number]> };
}

export interface ListChange<T> {
  /** How many of the former items are left. */
  kept: number;
  /** Those of them that are others now, by index. */
  changed: Array<[index: number, item: T]>;
  added: T[];
}

export function changeOf(former: AgentState, next: AgentState): StateChange {
  return {
    ...next,
    messages: listChange(former.messages, next.messages),
    uiMessage: { ...next.uiMessage, parts: listChange(former.uiMessage.parts, next.uiMessage.parts) },
  };
}

/** D1. The former state is left as it was. */
export function applyChange(former: AgentState, change: StateChange): AgentState {
  return {
    ...change,
    messages: changedList(former.messages, change.messages),
    uiMessage: { ...change.uiMessage, parts: changedList(former.uiMessage.parts, change.uiMessage.parts) },
  };
}

/** The state that a run's checkpoints make up. */
export function restoredState({ checkpoints, run }: Pick<RunContext, 'checkpoints' | 'run'>): AgentState {
  return withTerms(
    checkpoints.reduce((state, { value }) => applyChange(state, value as StateChange), initialState(run.id)),
  );
}

/** Approvals that were asked for before there were terms have none. */
function withTerms(state: AgentState): AgentState {
  const pending = state.pending.map((call) =>
    call.kind === 'approval' && (call as Partial<PendingApproval>).terms === undefined
      ? { ...call, terms: NO_TERMS }
      : call,
  );
  return { ...state, pending };
}

/** D2 */
function listChange<T>(former: readonly T[], next: readonly T[]): ListChange<T> {
  const kept = Math.min(former.length, next.length);
  const changed = next
    .slice(0, kept)
    .flatMap((item, index): Array<[number, T]> => (isSame(item, former[index]) ? [] : [[index, item]]));
  return { kept, changed, added: next.slice(kept) };
}

function changedList<T>(former: readonly T[], { kept, changed, added }: ListChange<T>): T[] {
  const list = former.slice(0, kept);
  for (const [index, item] of changed) list[index] = item;
  return [...list, ...added];
}
