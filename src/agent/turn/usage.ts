/** What turns used: sums in the SDK's form. */

import type { LanguageModelUsage } from 'ai';
import type { Usage } from './provider-types.ts';

export const NO_USAGE: LanguageModelUsage = {
  inputTokens: undefined,
  inputTokenDetails: { noCacheTokens: undefined, cacheReadTokens: undefined, cacheWriteTokens: undefined },
  outputTokens: undefined,
  outputTokenDetails: { textTokens: undefined, reasoningTokens: undefined },
  totalTokens: undefined,
};

/** Sums; a count is undefined only where no turn had one. Raw records of providers are not summed: the ledger has them. */
export function addUsage(sum: LanguageModelUsage, usage: LanguageModelUsage): LanguageModelUsage {
  return {
    inputTokens: add(sum.inputTokens, usage.inputTokens),
    inputTokenDetails: {
      noCacheTokens: add(sum.inputTokenDetails.noCacheTokens, usage.inputTokenDetails.noCacheTokens),
      cacheReadTokens: add(sum.inputTokenDetails.cacheReadTokens, usage.inputTokenDetails.cacheReadTokens),
      cacheWriteTokens: add(sum.inputTokenDetails.cacheWriteTokens, usage.inputTokenDetails.cacheWriteTokens),
    },
    outputTokens: add(sum.outputTokens, usage.outputTokens),
    outputTokenDetails: {
      textTokens: add(sum.outputTokenDetails.textTokens, usage.outputTokenDetails.textTokens),
      reasoningTokens: add(sum.outputTokenDetails.reasoningTokens, usage.outputTokenDetails.reasoningTokens),
    },
    totalTokens: add(sum.totalTokens, usage.totalTokens),
  };
}

/** Undefined only if both are. */
function add(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined && b === undefined ? undefined : (a ?? 0) + (b ?? 0);
}

/** The SDK's form of a provider's usage. */
export function toUsage(usage: Usage | undefined): LanguageModelUsage {
  if (usage === undefined) return NO_USAGE;
  const { inputTokens: input, outputTokens: output } = usage;
  return {
    inputTokens: input.total,
    inputTokenDetails: {
      noCacheTokens: input.noCache,
      cacheReadTokens: input.cacheRead,
      cacheWriteTokens: input.cacheWrite,
    },
    outputTokens: output.total,
    outputTokenDetails: { textTokens: output.text, reasoningTokens: output.reasoning },
    totalTokens: add(input.total, output.total),
  };
}
