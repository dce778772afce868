/** The demo as a person starts it: `node examples/support-agent/demo.ts`. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { DemoState } from '../../examples/support-agent/messages.ts';

export interface Demo {
  readonly url: string;
  state(): Promise<DemoState>;
  /** The text of the thread's answers as the server has it. */
  answers(chat: string): Promise<string[]>;
  post(path: string, body: unknown): Promise<Response>;
  /** SIGKILL of the server process; resolves when the next one answers. */
  killServer(): Promise<void>;
  stop(): Promise<void>;
}

interface Message {
  role: string;
  parts: { type: string; text?: string }[];
}

export async function startDemo({ pacingMs }: { pacingMs: number }): Promise<Demo> {
  const file = fileURLToPath(new URL('../../examples/support-agent/demo.ts', import.meta.url));
  const { OPENAI_API_KEY: _key, ...env } = process.env;
  const args = ['--conditions=everturn-source', file, '--port', '0', '--pacing', String(pacingMs), '--marked'];
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const url = await readUrl(child);
  const state = async (): Promise<DemoState> => (await (await fetch(`${url}/demo/state`)).json()) as DemoState;
  return {
    url,
    state,
    answers: async (chat) => {
      const { messages } = (await (await fetch(`${url}/api/chat/${chat}`)).json()) as { messages: Message[] };
      return messages
        .filter(({ role }) => role === 'assistant')
        .map(({ parts }) => parts.map((part) => (part.type === 'text' ? (part.text ?? '') : '')).join('\n'));
    },
    post: (path, body) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    killServer: async () => {
      const { pid, life } = await state();
      process.kill(pid, 'SIGKILL');
      for (;;) {
        const now = await state().catch(() => undefined);
        if (now !== undefined && now.life > life) return;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    stop: async () => {
      child.kill();
      await once(child, 'exit');
    },
  };
}

async function readUrl(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('The demo has no output.');
  for await (const line of createInterface(child.stdout)) {
    const url = /http:\/\/[\d.:]+/.exec(line)?.[0];
    if (url === undefined) continue;
    // What follows is not read, and must not block the process.
    child.stdout.resume();
    return url;
  }
  throw new Error('The demo ended without an address.');
}
