/* Runtime */
export { createTestRuntime } from './testing/test-runtime.ts';
export type { Redeploy, TestRuntime, TestRuntimeOptions } from './testing/test-runtime.ts';
export { manualClock } from './testing/manual-clock.ts';
export type { ManualClock } from './testing/manual-clock.ts';
export type { LogLine } from './testing/logs.ts';
