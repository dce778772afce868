/**
 * What a re-executed agent loop has to write again, given what its segment had written before. Pure.
 *
 *  R1 A step whose `finish-step` is stored is complete: the new pass's chunks of it are dropped.
 *  R2 Of the step after those, whatever is stored is taken back by one `reset-step`, and the whole step follows. A client
 *     keeps its `step-start` part on `reset-step` (AI SDK, process-ui-message-stream.ts), so `start-step` is not repeated.
 *     Data parts with an id are written again after the `reset-step`, each with its last value: tools write them, and one that
 *     is recorded does not run again. One that runs again replaces its own. Where the new pass is known to repeat what is stored of
 *     the step (`resumes`), nothing is taken back, and only what is missing of it follows; should it turn out to be another, it is
 *     taken back then.
 *  R3 A chunk outside of steps is skipped if the segment has stored one of the same type and id; the n-th of several if n
 *     are stored. A preliminary tool output never stands for the final one.
 *  R4 After a stored `abort` or `error` only `finish` may follow: the text that a stopped user saw stays. After a stored
 *     `finish` no other end follows: who stops a message that is finished stops nothing. Where the message went on
 *     after its `finish`, that one does not count.
 *  R5 Crashing at any point and executing again gives a client the same message as no crash, if the loop repeats what it
 *     had completed. (Of an incomplete step the second pass counts.)
 */

import type { UIMessageChunk } from 'ai';
import { addMerged } from './fold.ts';
import { StoredStep } from './stored-step.ts';

/** What a segment has stored of its stream. */
export interface RecoveryPlan {
  /** Steps with a stored `finish-step`. */
  completedSteps: number;
  /** The step after them has a stored `start-step`. */
  openStep: boolean;
  /** What the open step shows besides `kept`: stored since its start or its last `reset-step`, deltas merged. */
  shown: readonly UIMessageChunk[];
  /** The data parts with an id that the open step shows, by type and id. */
  kept: ReadonlyMap<string, UIMessageChunk>;
  /** Chunks stored outside of steps, counted by type and id. */
  outside: ReadonlyMap<string, number>;
  /** An `abort` or `error` is stored. */
  ended: boolean;
  /** The last stored chunk is `finish`. */
  finished: boolean;
}

export interface RecoveryFilter {
  /** What to append for the next chunk of the re-executed sequence. */
  next(chunk: UIMessageChunk): UIMessageChunk[];
  /** The `reset-step` that the open step needs, and what is kept of it, now rather than before its first chunk; none if it needs none (any more). */
  reset(): UIMessageChunk[];
}

/** `before`: the last chunk ahead of the segment; its `finish` counts as the segment's until the message goes on (R4). */
export function recoveryPlan(stored: Iterable<UIMessageChunk>, before?: UIMessageChunk): RecoveryPlan {
  const plan: MutablePlan = {
    completedSteps: 0,
    openStep: false,
    shown: [],
    kept: new Map(),
    outside: new Map(),
    ended: false,
    finished: false,
  };
  if (before?.type === 'finish') addStored(plan, before);
  for (const chunk of stored) addStored(plan, chunk);
  return plan;
}

interface MutablePlan extends RecoveryPlan {
  shown: UIMessageChunk[];
  kept: Map<string, UIMessageChunk>;
  outside: Map<string, number>;
}

function addStored(plan: MutablePlan, chunk: UIMessageChunk): void {
  if (plan.finished) plan.outside.delete(FINISH);
  plan.finished = chunk.type === 'finish';
  if (chunk.type === 'abort' || chunk.type === 'error') plan.ended = true;
  if (isFrame(chunk) || (!plan.openStep && chunk.type !== 'start-step')) {
    const identity = identityOf(chunk);
    plan.outside.set(identity, (plan.outside.get(identity) ?? 0) + 1);
  } else if (chunk.type === 'start-step' || chunk.type === 'finish-step' || chunk.type === 'reset-step') {
    if (chunk.type === 'finish-step') plan.completedSteps += 1;
    plan.openStep = chunk.type !== 'finish-step';
    plan.shown = [];
    plan.kept.clear();
  } else if (isKept(chunk)) {
    plan.kept.set(identityOf(chunk), chunk);
  } else {
    addMerged(plan.shown, chunk);
  }
}

/** A filter for a new pass from the segment's start. An empty plan lets everything pass. `resumes`: see R2. */
export function createRecoveryFilter(
  plan: RecoveryPlan,
  { resumes = false }: { resumes?: boolean } = {},
): RecoveryFilter {
  const outside = new Map(plan.outside);
  let step = -1;
  let inStep = false;
  let resumed = resumes && plan.openStep ? new StoredStep(plan.shown, identityOf) : undefined;
  let resetDue = plan.openStep && plan.shown.length > 0 && resumed === undefined;
  let finished = plan.finished;

  const isStored = (chunk: UIMessageChunk): boolean => {
    const identity = identityOf(chunk);
    const left = outside.get(identity) ?? 0;
    outside.set(identity, left - 1);
    return left > 0;
  };

  const reset = (): UIMessageChunk[] => {
    if (!resetDue) return [];
    resetDue = false;
    return [{ type: 'reset-step' }, ...plan.kept.values()];
  };

  const nextInStep = (chunk: UIMessageChunk): UIMessageChunk[] => {
    if (chunk.type === 'finish-step') inStep = false;
    if (step < plan.completedSteps) return []; // R1
    if (step === plan.completedSteps && resumed !== undefined) return nextResumed(resumed, chunk);
    return step === plan.completedSteps ? [...reset(), chunk] : [chunk]; // R2
  };

  const nextResumed = (stored: StoredStep, chunk: UIMessageChunk): UIMessageChunk[] => {
    const missing = stored.missing(chunk);
    if (missing !== undefined) return missing;
    resumed = undefined;
    return [{ type: 'reset-step' }, ...plan.kept.values(), ...stored.passed];
  };

  const next = (chunk: UIMessageChunk): UIMessageChunk[] => {
    const appended = decide(chunk);
    if (finished && appended.length > 0) {
      finished = false;
      outside.delete(FINISH);
    }
    return appended;
  };

  const decide = (chunk: UIMessageChunk): UIMessageChunk[] => {
    if (plan.ended && chunk.type !== 'finish') return []; // R4
    if (finished && (chunk.type === 'abort' || chunk.type === 'error')) return []; // R4
    if (isFrame(chunk)) return isStored(chunk) ? [] : [chunk]; // R3
    if (chunk.type === 'start-step') {
      step += 1;
      inStep = true;
      return step < plan.completedSteps || (step === plan.completedSteps && plan.openStep) ? [] : [chunk];
    }
    if (inStep) return nextInStep(chunk);
    return isStored(chunk) ? [] : [chunk];
  };

  return { next, reset };
}

/** Chunks that belong to the message, wherever they stand. */
function isFrame(chunk: UIMessageChunk): boolean {
  return chunk.type === 'start' || chunk.type === 'finish' || chunk.type === 'abort' || chunk.type === 'error';
}

/** Clients replace a data part by the next one of its type and id. */
function isKept(chunk: UIMessageChunk): boolean {
  return (
    chunk.type.startsWith('data-') &&
    'id' in chunk &&
    chunk.id !== undefined &&
    !('transient' in chunk && chunk.transient)
  );
}

function identityOf(chunk: UIMessageChunk): string {
  const { toolCallId, approvalId, id, preliminary } = chunk as Partial<
    Record<'toolCallId' | 'approvalId' | 'id' | 'preliminary', unknown>
  >;
  return JSON.stringify([chunk.type, toolCallId ?? approvalId ?? id ?? null, preliminary === true]);
}

const FINISH = identityOf({ type: 'finish' });
