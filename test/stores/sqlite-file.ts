/** Real SQLite files for tests, in a folder of their own that goes with them, and real processes on them. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** An empty folder and the path of a store in it. */
export function storeFolder(): { folder: string; path: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'everturn-store-'));
  return { folder, path: join(folder, 'runs.db'), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

export interface StoreProcess {
  /** The next line that it writes; null once it has ended. */
  line(): Promise<string | null>;
  kill(): Promise<void>;
}

/** Runs a command of `store-process.ts` in a process of its own. */
export function storeProcess(path: string, command: string): StoreProcess {
  const script = fileURLToPath(new URL('store-process.ts', import.meta.url));
  const child = spawn(process.execPath, ['--no-warnings', script, path, command], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async line() {
      const next = await lines.next();
      return next.done === true ? null : next.value;
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
