/** Compiles src to dist, file by file; dist is removed first so that a renamed file leaves nothing behind. */

import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';

rmSync('dist', { recursive: true, force: true });
process.exitCode = spawnSync('tsc -p tsconfig.build.json', { shell: true, stdio: 'inherit' }).status ?? 1;
