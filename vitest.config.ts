import { defineConfig } from 'vitest/config';

const ci = process.env['CI'] !== undefined;

export default defineConfig({
  resolve: { conditions: ['everturn-source'] },
  ssr: { resolve: { conditions: ['everturn-source'] } },
  test: {
    include: ['test/**/*.test.ts'],
    // The long stall is a proof of every release; it takes half a minute.
    exclude: ci ? ['test/faults/!(stall).test.ts'] : ['test/faults/**'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000,
    // What a test waits for comes in milliseconds; the limit is for a machine with other work.
    expect: { poll: { timeout: 10_000 } },
    reporters: ci ? ['default', 'json'] : ['default'],
    outputFile: { json: 'coverage/tests.json' },
  },
});
