import { createRuntime } from 'everturn';
import type { LogFields, Logger, Runtime, RuntimeOptions } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { afterEach } from 'vitest';
import { manualClock } from '../../src/testing/manual-clock.ts';
import type { ManualClock } from '../../src/testing/manual-clock.ts';
import { killable } from '../support/killable.ts';
import type { Killable } from '../support/killable.ts';

const opened: Array<{ runtime: Runtime; clock: ManualClock }> = [];

/** A killed process' store never answers: its runtime closes when its patience is over. */
afterEach(async () => {
  for (const { runtime, clock } of opened.splice(0)) {
    const closing = runtime.close({ graceMs: 0 });
    await clock.advance(10_000);
    await closing;
  }
});

export interface Logged {
  level: keyof Logger;
  fields: LogFields;
  message: string;
}

export function collectingLogger(lines: Logged[]): Logger {
  const at =
    (level: keyof Logger) =>
    (fields: LogFields, message: string): void => {
      lines.push({ level, fields, message });
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** Several processes on one memory store, under one manual clock. */
export function processes() {
  const clock = manualClock();
  const inner = memoryStore({ clock });
  const logs: Logged[] = [];
  const open = (
    options: Omit<RuntimeOptions, 'store'>,
    before?: Parameters<typeof killable>[1],
  ): Runtime & Killable => {
    const proxy = killable(inner, before);
    const runtime = createRuntime({ clock, logger: collectingLogger(logs), ...options, store: proxy.store });
    opened.push({ runtime, clock });
    const kill = (): void => {
      proxy.kill();
      // What is dead cannot be closed.
      const index = opened.findIndex((entry) => entry.runtime === runtime);
      if (index >= 0) opened.splice(index, 1);
    };
    return Object.assign(runtime, proxy, { kill });
  };
  /** Lets everything that can happen without time passing happen. */
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 40; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  };
  return { clock, inner, logs, open, settle };
}
