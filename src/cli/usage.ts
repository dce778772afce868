/** Misuse of the command line, as its parser raises it. */

import { CommanderError } from 'commander';

export const USAGE_EXIT = 2;

export function usageError(message: string): CommanderError {
  return new CommanderError(USAGE_EXIT, 'everturn.usage', `error: ${message}`);
}
