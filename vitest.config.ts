import { defineConfig } from 'vitest/config';

const ci = process.env['CI'] !== undefined;

export default defineConfig({
  resolve: { conditions: ['everturn-source'] },
  ssr: { resolve: { conditions: ['everturn-source'] } },
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/faults/**'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000,
    reporters: ci ? ['default', 'json'] : ['default'],
    outputFile: { json: 'coverage/tests.json' },
  },
});
