/** A process that uses a store, for tests that kill it: `node store-process.ts <path> <command>`. Says what it did in one line. */

import { sqliteStore } from '../../src/sqlite.ts';
import { newRun, QUEUE } from '../../src/testing/store-suite/kit.ts';

const LEASE_MS = 60_000;

const COMMANDS: Record<string, (path: string) => Promise<unknown>> = {
  /** Claims what is due, and lives. */
  async hold(path) {
    const store = sqliteStore(path);
    const { claims } = await store.claim({
      queues: [QUEUE],
      limit: 10,
      suspects: 10,
      leaseMs: LEASE_MS,
      nonce: `n${process.pid}`,
    });
    // Holds the store too: one that nobody can reach any more is closed by the garbage collector.
    setInterval(() => void store.capabilities, 1_000);
    return claims.map(({ run }) => run.id);
  },
  /** Starts many runs one by one, and lives until it is killed in their midst. */
  async write(path) {
    const store = sqliteStore(path);
    for (let index = 0; ; index += 1) {
      await store.start([newRun({ id: `run_${index}` })]);
      process.stdout.write(`${index}\n`);
    }
  },
  async start(path) {
    const store = sqliteStore(path);
    const answers = await store.start([newRun({ id: `run_${process.pid}` })]);
    await store.close();
    return answers.map(({ kind }) => kind);
  },
};

const [path = '', command = ''] = process.argv.slice(2);
const answer = await COMMANDS[command]?.(path);
process.stdout.write(`${JSON.stringify(answer)}\n`);
