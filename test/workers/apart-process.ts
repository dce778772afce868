/** `fork('apart-process.ts', [json])`: serves chats and executes other things, or executes the agent whose chats they are. */
import { createRuntime, DurableAgent, workflow } from 'everturn';
import { createApp, serve } from 'everturn/server';
import { scriptedModel } from 'everturn/testing';
import { openStore } from '../support/open-store.ts';

export interface ApartTask {
  store: string;
  role: 'web' | 'worker';
}

export type ApartMessage =
  | { kind: 'ready' }
  | { kind: 'listening'; url: string }
  | { kind: 'log'; level: string; message: string };

const task = JSON.parse(process.argv[2] ?? '') as ApartTask;
const tell = (message: ApartMessage): void => void process.send?.(message);
const keep =
  (level: string) =>
  (_fields: object, message: string): void =>
    tell({ kind: 'log', level, message });

// What it says tells which process asked it.
const support = new DurableAgent({ model: scriptedModel(() => ({ text: `Answered in process ${process.pid}.` })) });
const clean = workflow('clean', async () => process.pid);
const runtime = createRuntime({
  store: openStore(task.store),
  agents: { support },
  workflows: [clean],
  worker: { queues: [task.role === 'web' ? 'clean' : 'support'] },
  logger: { debug() {}, info: keep('info'), warn: keep('warn'), error: keep('error') },
});
if (task.role === 'web') {
  const { url } = await serve(createApp(runtime), { port: 0 });
  tell({ kind: 'listening', url });
} else {
  await runtime.list();
  tell({ kind: 'ready' });
}
