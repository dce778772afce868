/* Runtime */
export { createTestRuntime } from './testing/test-runtime.ts';
export type { Redeploy, TestRuntime, TestRuntimeOptions } from './testing/test-runtime.ts';
export { manualClock } from './testing/manual-clock.ts';
export type { ManualClock } from './testing/manual-clock.ts';
export type { LogLine } from './testing/logs.ts';

/* Model */
export { scriptedModel } from './testing/scripted-model.ts';
export type {
  ModelCall,
  ScriptedAnswer,
  ScriptedModel,
  ScriptedModelOptions,
  ScriptedTurn,
} from './testing/scripted-model.ts';

/* The contract of stores, as tests */
export { describeStore } from './testing/store-suite/store-suite.ts';
export type { MakeStore, SuiteOptions, SuiteRunner, TestStore } from './testing/store-suite/kit.ts';
