/** Facts and ledger rows of model attempts. One row per attempt, failed and aborted ones included; rows never change. */

import type { RunContext, Append } from '../../runtime/context.ts';
import { encodeValue, parseValue, stringifyThrown } from '../../runtime/codec.ts';
import { messageOfThrown } from '../../runtime/error-text.ts';
import { draftEvent, encodeEvent } from '../../runtime/event.ts';
import type { EventDraft } from '../../runtime/event.ts';
import type { LedgerRow } from '../../runtime/store.ts';
import type { CallDigests } from './digest.ts';
import { nanoUsdOf } from './prices.ts';
import type { ModelPrice } from './prices.ts';
import type { CallOptions, StreamPart, Usage } from './provider-types.ts';

export interface ModelAttempt {
  /** The turn's key. */
  key: string;
  /** From 1, over all processes. */
  attempt: number;
  provider: string;
  model: string;
  /** Undefined where nobody has said what the model costs. */
  price: ModelPrice | undefined;
}

/** What replay of a failed turn needs, where user code has seen it fail. */
export interface FailedTurn {
  error: unknown;
  /** Before the stream; by an error part; without a finish part; by the stream itself. */
  how: 'refused' | 'error' | 'unfinished' | 'broken';
  parts?: StreamPart[];
}

export interface TurnFailure extends FailedTurn {
  outcome: 'failed' | 'aborted';
  usage: Usage | undefined;
}

/** Facts of a turn for people and queries. */
export function turnMeta(
  attempt: ModelAttempt,
  options: { call: CallOptions; digests: CallDigests; usage: Usage | undefined; finishReason: string | undefined },
): Record<string, unknown> {
  return {
    provider: attempt.provider,
    model: attempt.model,
    attempt: attempt.attempt,
    promptHash: options.digests.ofPrompt(options.call.prompt),
    toolsHash: options.digests.ofTools(options.call.tools ?? []),
    ...(options.finishReason === undefined ? {} : { finishReason: options.finishReason }),
    ...(options.usage === undefined ? {} : { usage: totals(options.usage) }),
  };
}

export function ledgerRow(
  context: RunContext,
  attempt: ModelAttempt,
  options: { outcome: LedgerRow['outcome']; usage: Usage | undefined; toolCalls?: number },
): LedgerRow {
  const { run } = context;
  const { outcome, usage } = options;
  return {
    id: `${run.id}/${attempt.key}/${attempt.attempt}`,
    run: run.id,
    thread: run.thread,
    tenant: run.tenant,
    key: attempt.key,
    attempt: attempt.attempt,
    provider: attempt.provider,
    model: attempt.model,
    outcome,
    inputTokens: countOf(usage?.inputTokens.total),
    outputTokens: countOf(usage?.outputTokens.total),
    toolCalls: options.toolCalls ?? 0,
    nanoUsd: usage === undefined || attempt.price === undefined ? null : nanoUsdOf(usage, attempt.price),
    details: usage === undefined ? null : encodeValue(usage, `the usage of "${attempt.key}"`),
    at: context.now(),
  };
}

/** Providers say what they like: what is no count is not known, and spoils no sum. */
function countOf(tokens: number | undefined): number | null {
  return tokens !== undefined && Number.isFinite(tokens) && tokens >= 0 ? Math.round(tokens) : null;
}

/** The failed attempt of a turn: it counts, and it chooses the fallback model. */
export function turnFailed(context: RunContext, attempt: ModelAttempt, failure: TurnFailure): Append {
  const { error, how, parts } = failure;
  const value: FailedTurn = parts === undefined ? { error, how } : { error, how, parts };
  const meta = {
    provider: attempt.provider,
    model: attempt.model,
    outcome: failure.outcome,
    error: messageOfThrown(failure.error),
    ...retryableOf(failure.error),
  };
  return {
    facts: [
      keepable({ type: 'turn_failed', key: attempt.key, at: context.now(), attempt: attempt.attempt, meta }, value),
    ],
    ledger: [ledgerRow(context, attempt, { outcome: failure.outcome, usage: failure.usage })],
  };
}

/**
 * A turn that had begun when its process died: nobody knows what it used. The fact counts as an attempt; commit it before the turn is
 * tried again.
 */
export function turnAbandoned(context: RunContext, turn: { key: string; provider: string; model: string }): Append {
  const attempt = { ...turn, attempt: failedAttempts(context, turn.key) + 1, price: undefined };
  return {
    facts: [
      {
        type: 'turn_failed',
        key: turn.key,
        at: context.now(),
        attempt: attempt.attempt,
        meta: { provider: turn.provider, model: turn.model, outcome: 'unknown' },
      },
    ],
    ledger: [ledgerRow(context, attempt, { outcome: 'unknown', usage: undefined })],
  };
}

/** Failed attempts of a turn over all processes; the next one is the answer plus one. */
export function failedAttempts(context: RunContext, key: string): number {
  return context.facts(key).filter((fact) => fact.type === 'turn_failed').length;
}

/** The parts that came before the failure are kept if there is room for them. */
function keepable(header: Omit<EventDraft, 'text'>, value: FailedTurn): EventDraft {
  const what = `the failure of "${header.key}"`;
  try {
    const draft = draftEvent(header, { value, what });
    encodeEvent(draft);
    return draft;
  } catch {
    return draftEvent(header, { value: { error: parseValue(stringifyThrown(value.error)), how: value.how }, what });
  }
}

/** What the provider says of its error; nothing where it says nothing. */
function retryableOf(error: unknown): { retryable?: boolean } {
  const says = typeof error === 'object' && error !== null && 'isRetryable' in error ? error.isRetryable : undefined;
  return typeof says === 'boolean' ? { retryable: says } : {};
}

function totals(usage: Usage): Record<string, number> {
  const all = {
    inputTokens: usage.inputTokens.total,
    cachedInputTokens: usage.inputTokens.cacheRead,
    outputTokens: usage.outputTokens.total,
    reasoningTokens: usage.outputTokens.reasoning,
  };
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, number] => entry[1] !== undefined));
}
