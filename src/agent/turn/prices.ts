/** What turns cost: usage times prices, in billionths of a dollar. Pure. */

import { DurableError } from '../../runtime/errors.ts';
import type { Usage } from './provider-types.ts';

/** US dollars per million tokens. */
export interface ModelPrice {
  inputPerMillion: number;
  outputPerMillion: number;
  /** Input that the provider read from its cache. Default: as other input. */
  cachedInputPerMillion?: number;
  /** Input that the provider wrote to its cache. Default: as other input. */
  cacheWritePerMillion?: number;
  /** Output that is reasoning. Default: as other output. */
  reasoningPerMillion?: number;
}

/** By model id, as the model itself says it ("gpt-5"), or by provider and model id ("openai.responses:gpt-5"), which goes before. */
export type Prices = Record<string, ModelPrice>;

const PARTS = [
  'inputPerMillion',
  'outputPerMillion',
  'cachedInputPerMillion',
  'cacheWritePerMillion',
  'reasoningPerMillion',
] as const satisfies ReadonlyArray<keyof ModelPrice>;

/** A dollar per million tokens, in billionths of a dollar per token. */
const NANO_PER_TOKEN = 1_000;

export function priceOf(prices: Prices, model: { provider: string; model: string }): ModelPrice | undefined {
  for (const name of [`${model.provider}:${model.model}`, model.model])
    if (Object.hasOwn(prices, name)) return prices[name];
  return undefined;
}

/** What an attempt at a turn cost, rounded once. Null if the provider said nothing of what it used, or nonsense. */
export function nanoUsdOf({ inputTokens: input, outputTokens: output }: Usage, price: ModelPrice): number | null {
  if (input.total === undefined && output.total === undefined) return null;
  const { inputPerMillion, outputPerMillion } = price;
  const { cacheRead = 0, cacheWrite = 0 } = input;
  const { reasoning = 0 } = output;
  const plain = input.noCache ?? Math.max(0, (input.total ?? 0) - cacheRead - cacheWrite);
  const said = Math.max(0, (output.total ?? 0) - reasoning);
  const dollarsPerMillion =
    plain * inputPerMillion +
    cacheRead * (price.cachedInputPerMillion ?? inputPerMillion) +
    cacheWrite * (price.cacheWritePerMillion ?? inputPerMillion) +
    said * outputPerMillion +
    reasoning * (price.reasoningPerMillion ?? outputPerMillion);
  const nanoUsd = Math.round(dollarsPerMillion * NANO_PER_TOKEN);
  return Number.isSafeInteger(nanoUsd) && nanoUsd >= 0 ? nanoUsd : null;
}

/** Throws `invalid_argument`. */
export function checkPrices(prices: Prices, where: string): void {
  if (typeof prices !== 'object' || prices === null || Array.isArray(prices)) throw invalid(where, 'it is no table');
  for (const [model, price] of Object.entries(prices)) checkPrice(price, `${where}["${model}"]`);
}

function checkPrice(price: ModelPrice, where: string): void {
  if (typeof price !== 'object' || price === null) throw invalid(where, 'it is no price');
  const unknown = Object.keys(price).find((name) => !(PARTS as readonly string[]).includes(name));
  if (unknown !== undefined) throw invalid(where, `it has no "${unknown}"; it has ${PARTS.join(', ')}`);
  for (const name of PARTS) {
    const value: unknown = price[name];
    const isLeftOut = value === undefined && name !== 'inputPerMillion' && name !== 'outputPerMillion';
    if (!isLeftOut && !(typeof value === 'number' && value >= 0 && Number.isFinite(value)))
      throw invalid(`${where}.${name}`, `${String(value)} is no number of dollars`);
  }
}

function invalid(where: string, why: string): DurableError {
  return new DurableError(
    'invalid_argument',
    `Cannot use ${where}: ${why}. Write prices in US dollars: { "gpt-5": { inputPerMillion: 1.25, outputPerMillion: 10 } }.`,
  );
}
