/** Runs every check, also after one of them failed, and ends with a table: a red build shows all that is wrong. */

import { spawnSync } from 'node:child_process';

const checks: ReadonlyArray<readonly [name: string, script: string]> = [
  ['format', 'npm run --silent format -- --check'],
  ['lint', 'npm run --silent lint'],
  ['types', 'npm run --silent types'],
  ['tests', 'npm test --silent'],
  ['unused', 'npm run --silent unused'],
  ['build', 'npm run --silent build'],
  ['package', 'npm run --silent package'],
];

const results = checks.map(([name, script]) => {
  console.log(`\n> ${name}`);
  const startedAt = performance.now();
  const { status } = spawnSync(script, { shell: true, stdio: 'inherit' });
  return { name, passed: status === 0, seconds: Math.round((performance.now() - startedAt) / 100) / 10 };
});

console.log();
for (const { name, passed, seconds } of results) console.log(`${passed ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`);
if (results.some(({ passed }) => !passed)) process.exitCode = 1;
