/** Compiles src to dist, file by file; dist is removed first so that a renamed file leaves nothing behind. The program is made executable. */

import { spawnSync } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';

rmSync('dist', { recursive: true, force: true });
process.exitCode = spawnSync('tsc -p tsconfig.build.json', { shell: true, stdio: 'inherit' }).status ?? 1;
if (process.exitCode === 0) chmodSync('dist/cli/main.js', 0o755);
