/** A model attempt that its process did not live to record: the stream shows that it had begun, the journal knows nothing of it. */

import type { LanguageModel, UIMessageChunk } from 'ai';
import type { RunContext } from '../../runtime/context.ts';
import { resolveModel } from '../turn/durable-model.ts';
import { currentChoice } from '../turn/model-choice.ts';
import { segmentPrefix } from './segment.ts';
import type { RunnableAgent } from './segment.ts';
import { failedAttempts, turnAbandoned } from '../turn/turn-facts.ts';

/** Writes the ledger row of such an attempt, its usage unknown, before the turn is tried again. `chunks`: the stream since the segment's start. */
export async function recordAbandonedTurn(
  context: RunContext,
  options: {
    agent: RunnableAgent;
    segment: number;
    chunks: readonly UIMessageChunk[];
    /** Goes before the agent's own model. */
    cheaper: LanguageModel | undefined;
  },
): Promise<void> {
  const { agent, segment, chunks, cheaper } = options;
  const prefix = segmentPrefix(segment);
  const events = context.journal(prefix);
  // Turns of agents that its tools call stand deeper.
  const isOwn = (key: string): boolean => !key.slice(prefix.length).includes('/');
  const recorded = events.filter(({ type, key }) => type === 'turn_completed' && isOwn(key)).length;
  const key = `${prefix}t${recorded}`;
  const { step, attempts } = attemptsShown(chunks);
  if (step !== recorded || attempts <= failedAttempts(context, key)) return;
  const fallbacks = agent.durable.fallbackModels ?? [];
  const model = resolveModel(fallbacks[currentChoice(events).model - 1] ?? cheaper ?? agent.model);
  context.logger.warn(
    { turn: key, model: model.modelId },
    'a turn was under way when its process ended; it is tried again',
  );
  // crash here: the next process finds the same chunks and no fact
  await context.append(turnAbandoned(context, { key, provider: model.provider, model: model.modelId }));
}

/** The step that is open at the end, and how many attempts of it can be told apart: each but the first begins with `reset-step`. */
function attemptsShown(chunks: readonly UIMessageChunk[]): { step: number; attempts: number } {
  let step = -1;
  let open = false;
  let attempts = 0;
  for (const { type } of chunks) {
    if (type === 'start-step') {
      step += 1;
      open = true;
      attempts = 1;
    } else if (type === 'finish-step') open = false;
    else if (type === 'reset-step') attempts += 1;
  }
  const undone = chunks.at(-1)?.type === 'reset-step' ? 1 : 0;
  return open ? { step, attempts: attempts - undone } : { step: -1, attempts: 0 };
}
