#!/usr/bin/env node
/** The program `everturn`: this process's arguments, streams and environment. */

import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { styleText } from 'node:util';
import { systemClock } from '../runtime/clock.ts';
import type { Terminal } from './report.ts';
import { runCli } from './run-cli.ts';

/** Where nobody says how wide a line may be. */
const WIDTH = 100;

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

hideSqliteWarning();
// A reader that has seen enough (head, less) closes the pipe.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
process.exitCode = await runCli(process.argv.slice(2), createTerminal(), version);

function createTerminal(): Terminal {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    layout: () => ({
      width: process.stdout.isTTY ? process.stdout.columns : WIDTH,
      now: systemClock().now(),
      paint: (format, text) => styleText(format, text, { stream: process.stdout }),
    }),
    env: process.env,
    user: userName,
  };
}

/** The system may know nobody of this number, as in containers. */
function userName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return process.env['USER'];
  }
}

/** That node:sqlite is young is not what was asked. */
function hideSqliteWarning(): void {
  const listeners = process.listeners('warning');
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    if (warning.name === 'ExperimentalWarning' && warning.message.includes('SQLite')) return;
    for (const listener of listeners) listener(warning);
  });
}
