/** Real SQLite files for tests, in a folder of their own that goes with them. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** An empty folder and the path of a store in it. */
export function storeFolder(): { folder: string; path: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'everturn-store-'));
  return { folder, path: join(folder, 'runs.db'), remove: () => rmSync(folder, { recursive: true, force: true }) };
}
