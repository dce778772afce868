import type { Logger } from '../../src/runtime/logger.ts';

/** For tests that do not look at what is logged. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
