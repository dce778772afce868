/**
 * One call of the command line. Exit codes: 0 done, 1 refused or failed, 2 misuse. With `--json` stdout holds one document, the answer or
 * `{ error: { code, message, details } }`; else errors are a line on stderr.
 */

import { CommanderError } from 'commander';
import { DurableError, reasonOf } from '../runtime/errors.ts';
import { toJsonText } from './json.ts';
import { createProgram } from './program.ts';
import type { Terminal } from './report.ts';
import { printableLines } from './text.ts';
import { USAGE_EXIT } from './usage.ts';

/** Answers the exit code. */
export async function runCli(args: readonly string[], terminal: Terminal, version: string): Promise<number> {
  // A call that cannot be parsed has to be answered in its own form too.
  const isJson = args.includes('--json');
  // Help that stands for a misuse is written to stderr, which is no JSON's place.
  const shown = isJson ? { ...terminal, err: () => {} } : terminal;
  try {
    await createProgram(shown, version).parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    const failure = failureOf(error);
    if (isJson) terminal.out(`${toJsonText({ error: failure.body }, 2)}\n`);
    else if (failure.text !== '') terminal.err(`${printableLines(failure.text)}\n`);
    return failure.exit;
  }
}

interface Failure {
  exit: number;
  /** Empty where help was shown. */
  text: string;
  body: { code: string; message: string; details: Record<string, unknown> };
}

function failureOf(error: unknown): Failure {
  if (error instanceof CommanderError) return usageFailure(error);
  if (DurableError.is(error)) {
    const { code, message, details } = error;
    return { exit: 1, text: `error: ${message}`, body: { code, message, details } };
  }
  const message = reasonOf(error);
  const text = error instanceof Error ? (error.stack ?? message) : message;
  return { exit: 1, text: `error: everturn failed: ${text}`, body: { code: 'internal_error', message, details: {} } };
}

function usageFailure({ code, message }: CommanderError): Failure {
  const isHelp = code === 'commander.help';
  const text = isHelp ? 'No command is named: everturn --help lists them.' : message.replace(/^error: /, '');
  const next = 'everturn --help says what there is.';
  return {
    exit: USAGE_EXIT,
    text: isHelp ? '' : `error: ${text}\n${next}`,
    body: { code: 'invalid_argument', message: text, details: {} },
  };
}
