/** The logger that a pino instance, or `console` wrapped in four lines, fits structurally. */

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

/** Warnings and errors on the console, one line each. */
export function consoleLogger(): Logger {
  const line = (fields: LogFields, message: string): string => {
    const { err, ...rest } = fields;
    const reason = err instanceof Error ? `: ${err.message}` : '';
    return `everturn: ${message}${reason} ${JSON.stringify(rest)}`;
  };
  return {
    debug: () => {},
    info: () => {},
    warn: (fields, message) => console.warn(line(fields, message)),
    error: (fields, message) => console.error(line(fields, message)),
  };
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
