/** `fork('desk-process.ts', [json])`: a worker that lives while the command line works on its store. */
import { openDesk } from './desk.ts';

export interface DeskTask {
  file: string;
}

export type DeskMessage = { kind: 'ready' } | { kind: 'paid'; amount: number } | { kind: 'at the gate' };

const { file } = JSON.parse(process.argv[2] ?? '') as DeskTask;
const tell = (message: DeskMessage): void => void process.send?.(message);

const open = Promise.withResolvers<void>();
const gate = async (): Promise<void> => {
  tell({ kind: 'at the gate' });
  await open.promise;
};
const runtime = openDesk({ file, gate, paid: (amount) => tell({ kind: 'paid', amount }) });
process.on('message', (message) => {
  if (message === 'open the gate') open.resolve();
  else void runtime.close().then(() => process.disconnect());
});
await runtime.start('slow', { id: 'slow-1' });
await runtime.start('support', { id: 'ask-1', prompt: 'Please refund order 1042.' });
tell({ kind: 'ready' });
