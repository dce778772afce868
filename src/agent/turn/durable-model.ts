/**
 * The model that an agent call hands to the SDK: each doStream and doGenerate is a turn, recorded before the SDK can act on it.
 *
 *  M1 Parts pass as they come; `finish` is held until the turn's commit was released. The SDK starts tools on `finish`, so no tool
 *     starts before its turn is durable.
 *  M2 A response without `finish`, or with an `error` part, is no turn: a `turn_failed` fact and a ledger row are committed, then
 *     the failure goes on. Its `finish` passes as an error, so that the SDK starts no tool.
 *  M3 Each model attempt is one ledger row, whatever came of it.
 *  M4 Each attempt waits until there is room for it in the budget. After a stop the turn is an empty response.
 */

import { gateway, wrapLanguageModel } from 'ai';
import type { LanguageModel } from 'ai';
import { DurableError } from '../../runtime/errors.ts';
import type { CallState, Turn } from '../call/call-state.ts';
import type { CallOptions, GenerateResult, ModelV4, StreamPart, StreamResult } from './provider-types.ts';
import type { FailedTurn } from './turn-facts.ts';
import { failedFinish, liveGeneration, liveStream } from './live-turn.ts';
import { recordStoppedTurn } from './stopped-turn.ts';
import { replayParts } from './turn-record.ts';
import type { TurnRecord } from './turn-record.ts';

/** The model behind a setting: an id goes to the default provider, as in the SDK. */
export function resolveModel(model: LanguageModel): ModelV4 {
  const found =
    typeof model === 'string' ? (globalThis.AI_SDK_DEFAULT_PROVIDER ?? gateway).languageModel(model) : model;
  return found.specificationVersion === 'v4' ? found : wrapLanguageModel({ model: found, middleware: [] });
}

export function durableModel(model: LanguageModel, call: CallState): ModelV4 {
  const inner = resolveModel(model);
  return {
    specificationVersion: 'v4',
    provider: inner.provider,
    modelId: inner.modelId,
    get supportedUrls() {
      return inner.supportedUrls;
    },
    doStream: (options) => streamTurn(inner, options, call),
    doGenerate: (options) => generateTurn(inner, options, call),
  };
}

async function streamTurn(model: ModelV4, options: CallOptions, call: CallState): Promise<StreamResult> {
  const turn = enterTurn(call);
  const stop = await call.spending.beforeTurn(turn);
  if (turn.replayed) return replayStream(await recordedTurn(call, turn), { call, turn });
  const failed = failedReplay(call, turn);
  if (failed !== undefined) return { stream: replayFailure(failed) };
  if (stop !== undefined)
    return replayStream(await recordStoppedTurn(call, turn, { stop, mode: 'stream' }), { call, turn });
  return liveStream(affordable(model, call), options, { call, turn });
}

async function generateTurn(model: ModelV4, options: CallOptions, call: CallState): Promise<GenerateResult> {
  const turn = enterTurn(call);
  const stop = await call.spending.beforeTurn(turn);
  if (!turn.replayed) {
    const failed = failedReplay(call, turn);
    if (failed !== undefined) throw failed.error;
    if (stop === undefined) return liveGeneration(affordable(model, call), options, { call, turn });
  }
  const record = await (stop === undefined
    ? recordedTurn(call, turn)
    : recordStoppedTurn(call, turn, { stop, mode: 'generate' }));
  if (record.generated === undefined) throw otherMode(turn, 'stream()');
  call.responseId(turn);
  call.commitTurn(turn, record);
  return record.generated;
}

/** The cheaper model that somebody has chosen goes before all others but a fallback that the segment has taken. */
function affordable(model: ModelV4, call: CallState): ModelV4 {
  const cheaper = call.bindings.model === undefined ? call.spending.cheaperModel() : undefined;
  return cheaper === undefined ? model : resolveModel(cheaper);
}

function enterTurn(call: CallState): Turn {
  call.assertNotFatal();
  return call.beginTurn();
}

async function recordedTurn(call: CallState, turn: Turn): Promise<TurnRecord> {
  return call.perform<TurnRecord>({ key: turn.key, kind: 'turn', body: neverRuns });
}

function replayStream(record: TurnRecord, { call, turn }: { call: CallState; turn: Turn }): StreamResult {
  if (record.parts === undefined) throw otherMode(turn, 'generate()');
  const parts = record.parts.map((part) => call.partIds.rename(part, turn.n));
  call.commitTurn(turn, record);
  return { stream: replayParts(parts) };
}

/**
 * The recorded failure of a turn in a call that has ended: user code saw the turn fail and went on. Each attempt that the SDK makes
 * meets the failure that its live counterpart met; the last ones of the journal, as earlier processes may have failed as well.
 */
function failedReplay(call: CallState, turn: Turn): FailedTurn | undefined {
  if (call.end === undefined) return undefined;
  const failures = call.context.facts(turn.key).filter((fact) => fact.type === 'turn_failed' && fact.hasValue);
  const next = failures[Math.min(call.replayedFailures(turn.key), failures.length - 1)];
  if (next === undefined)
    return {
      error: call.end.value ?? new DurableError('divergence', `The call "${call.path}" ended before "${turn.key}".`),
      how: 'refused',
    };
  return next.value as FailedTurn;
}

function replayFailure({ error, parts = [], how }: FailedTurn): ReadableStream<StreamPart> {
  switch (how) {
    case 'refused':
      throw error;
    case 'unfinished':
      return replayParts(parts);
    case 'error': {
      const output = parts.filter((part) => part.type !== 'finish');
      return replayParts([...output, { type: 'error', error }, ...failedFinish(parts)]);
    }
    case 'broken':
      return replayParts(parts, { error });
  }
}

function otherMode(turn: Turn, mode: string): DurableError {
  return new DurableError(
    'divergence',
    `Cannot replay the turn "${turn.key}": it was recorded by ${mode}. Restore the code that called it so.`,
    {
      details: { key: turn.key },
    },
  );
}

function neverRuns(): never {
  throw new DurableError('divergence', 'A recorded turn was asked for again.');
}
