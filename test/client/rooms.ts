/** A real server behind a proxy that breaks, for clients of all kinds. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DurableAgent } from 'everturn';
import type { Runtime } from 'everturn';
import { createApp, serve } from 'everturn/server';
import type { RunningServer } from 'everturn/server';
import { sqliteStore } from 'everturn/sqlite';
import type { UIMessage } from 'ai';
import { recordingLogger, scriptedModel, startRuntime } from '../agent/run-kit.ts';
import type { Answer, Prompt } from '../agent/run-kit.ts';
import { byHeaders } from '../server/kit.ts';
import { openProxy } from './proxy.ts';
import type { Proxy } from './proxy.ts';

export type Answers = Array<Answer | ((prompt: Prompt) => Answer)>;
type Settings = Omit<ConstructorParameters<typeof DurableAgent>[0], 'model'>;

export interface Room {
  /** Where clients find the API: behind the proxy. */
  api: string;
  proxy: Proxy;
  runtime(): Runtime;
  /** The process dies and another one begins on the same store, with this script. */
  restart(answers: Answers): Promise<void>;
  /** What the server knows of a thread. */
  stored(thread: string): Promise<UIMessage[]>;
  close(): Promise<void>;
}

export async function openRoom(answers: Answers, settings: Settings = {}): Promise<Room> {
  const folder = await mkdtemp(join(tmpdir(), 'everturn-'));
  const begin = async (script: Answers): Promise<{ runtime: Runtime; server: RunningServer }> => {
    const agent = new DurableAgent({ model: scriptedModel(script).model, ...settings });
    const runtime = startRuntime({ store: sqliteStore({ path: join(folder, 'runs.db') }), agents: { support: agent } });
    const app = createApp(runtime, { authorize: byHeaders, logger: recordingLogger().logger });
    return { runtime, server: await serve(app, { port: 0 }) };
  };
  let current = await begin(answers);
  const proxy = await openProxy(current.server.url);
  const end = async (): Promise<void> => {
    await current.server.close();
    await current.runtime.close({ graceMs: 0 });
  };
  return {
    api: `${proxy.url}/api`,
    proxy,
    runtime: () => current.runtime,
    async restart(script) {
      proxy.target = undefined;
      await end();
      current = await begin(script);
      proxy.target = current.server.url;
    },
    stored: async (thread) => (await current.runtime.thread(thread)).uiMessages,
    async close() {
      await proxy.close();
      await end();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export function textOf(message: UIMessage | undefined): string {
  return (message?.parts ?? []).map((part) => (part.type === 'text' ? part.text : '')).join('');
}

/** A promise and its end. */
export function held(): { hold: Promise<void>; release: () => void } {
  let release = (): void => undefined;
  return { hold: new Promise<void>((resolve) => (release = resolve)), release: () => release() };
}
