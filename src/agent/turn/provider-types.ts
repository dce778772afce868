/** The provider types of the installed SDK, derived from `ai` so that nothing else needs to be installed. */

import type { LanguageModel } from 'ai';

export type ModelV4 = Extract<LanguageModel, { specificationVersion: 'v4' }>;
export type CallOptions = Parameters<ModelV4['doStream']>[0];
export type StreamResult = Awaited<ReturnType<ModelV4['doStream']>>;
export type GenerateResult = Awaited<ReturnType<ModelV4['doGenerate']>>;
export type StreamPart = StreamResult['stream'] extends ReadableStream<infer PART> ? PART : never;
export type FinishPart = Extract<StreamPart, { type: 'finish' }>;
export type Usage = FinishPart['usage'];
