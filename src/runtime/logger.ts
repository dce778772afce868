/** The logger that a pino instance, or `console` wrapped in four lines, fits structurally. */

import { cut, messageOfThrown } from './error-text.ts';

export interface LogFields {
  run?: string;
  step?: string;
  attempt?: number;
  code?: string;
  err?: unknown;
  [field: string]: unknown;
}

export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

/** Longer texts are cut: an error may carry a provider's whole answer. */
const MAX_CHARS = 500;

/** Warnings and errors on the console, one line each. Long texts are cut; the journal of a run has more of what failed in it. */
export function consoleLogger(): Logger {
  return {
    debug: () => {},
    info: () => {},
    warn: (fields, message) => console.warn(lineOf(fields, message)),
    error: (fields, message) => console.error(lineOf(fields, message)),
  };
}

function lineOf({ err, ...fields }: LogFields, message: string): string {
  const reason = err === undefined ? '' : `: ${oneLine(messageOfThrown(err, MAX_CHARS))}`;
  return `everturn: ${oneLine(cut(message, MAX_CHARS))}${reason} ${fieldsText(fields)}`;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*[\r\n\u2028\u2029]+\s*/g, ' ');
}

/** Fields come from anywhere: what JSON has no form for must not keep the line from being written. */
function fieldsText(fields: Record<string, unknown>): string {
  const toText = (_key: string, value: unknown): unknown => {
    if (typeof value === 'string') return cut(value, MAX_CHARS);
    if (value instanceof Error) return messageOfThrown(value, MAX_CHARS);
    return typeof value === 'bigint' ? String(value) : value;
  };
  try {
    return JSON.stringify(fields, toText);
  } catch {
    return JSON.stringify(
      Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, cut(String(value), MAX_CHARS)])),
    );
  }
}

/** A logger whose lines all carry `fields`. */
export function withFields(logger: Logger, base: LogFields): Logger {
  return {
    debug: (fields, message) => logger.debug({ ...base, ...fields }, message),
    info: (fields, message) => logger.info({ ...base, ...fields }, message),
    warn: (fields, message) => logger.warn({ ...base, ...fields }, message),
    error: (fields, message) => logger.error({ ...base, ...fields }, message),
  };
}
