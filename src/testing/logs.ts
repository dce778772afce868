/** A logger that keeps its lines for assertions and prints none. */

import type { LogFields, Logger } from '../runtime/logger.ts';

export interface LogLine extends LogFields {
  level: 'debug' | 'info' | 'warn' | 'error';
  message: string;
}

export function collectLogs(lines: LogLine[]): Logger {
  const at = (level: LogLine['level']) => (fields: LogFields, message: string) => {
    lines.push({ ...fields, level, message });
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** The last warnings and errors, for people. */
export function lastComplaints(lines: readonly LogLine[], count = 3): string[] {
  return lines
    .filter((line) => line.level === 'warn' || line.level === 'error')
    .slice(-count)
    .map(({ level, message, err, ...fields }) => {
      const reason = err instanceof Error ? `: ${err.message}` : '';
      return `${level}: ${message}${reason} ${JSON.stringify(fields)}`;
    });
}
