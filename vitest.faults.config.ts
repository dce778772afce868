import { defineConfig } from 'vitest/config';
import base from './vitest.config.ts';

/** Long runs against disks, processes and networks that fail; too slow, or too machine-bound, for `npm test`. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['test/faults/**/*.test.ts'],
    exclude: [],
    fileParallelism: false,
    testTimeout: 300_000,
  },
});
