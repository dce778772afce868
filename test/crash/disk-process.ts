/** `fork('disk-process.ts', [json])`: a run with large results on a disk that has no room for them, or on a file that is not this user's. */
import { createRuntime, DurableError, getStepMetadata, step, workflow } from 'everturn';
import type { Logger } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';

export interface DiskOptions {
  file: string;
  steps: number;
  bytes: number;
}

export type DiskMessage =
  | { kind: 'log'; level: string; code: unknown }
  | { kind: 'attempt'; step: number; attempt: number }
  | { kind: 'ended'; result: unknown }
  | { kind: 'refused'; code: string; message: string };

const { file, steps, bytes } = JSON.parse(process.argv[2] ?? '') as DiskOptions;
const tell = (message: DiskMessage): void => void process.send?.(message);
const at =
  (level: string): Logger['warn'] =>
  ({ code }) =>
    tell({ kind: 'log', level, code });

const pack = workflow('pack', async () => {
  for (let box = 0; box < steps; box += 1) {
    await step(`box-${box}`, () => {
      tell({ kind: 'attempt', step: box, attempt: getStepMetadata().attempt });
      // Each another one: what is large is stored once.
      return String(box).padEnd(bytes, 'x');
    });
  }
  return 'packed';
});

try {
  const runtime = createRuntime({
    store: sqliteStore(file),
    workflows: [pack],
    logger: { debug() {}, info() {}, warn: at('warn'), error: at('error') },
  });
  try {
    const run = await runtime.start(pack, { id: 'pack' });
    tell({ kind: 'ended', result: await run.result() });
  } finally {
    await runtime.close();
  }
} catch (error) {
  if (!DurableError.is(error)) throw error;
  tell({ kind: 'refused', code: error.code, message: error.message });
}
process.disconnect();
