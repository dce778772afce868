/** An outside witness: a process of its own, with a file of its own, that saw each effect a tool had. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** One effect. */
export interface WitnessRecord {
  /** The idempotency key that the tool saw. */
  key: string;
  attempt: number;
  tool: string;
  toolCallId: string;
  /** Of the process that acted. */
  pid: number;
  /** When it acted, on its clock. */
  time: number;
}

export interface Witness {
  /** Tools tell an effect with `POST` and a WitnessRecord as JSON; it is on the disk when they are answered. */
  readonly url: string;
  readonly file: string;
  /** Each effect so far, in order. */
  records(): WitnessRecord[];
  /** Ends the process; its file is gone then. */
  close(): Promise<void>;
}

const PROCESS = new URL('witness-process.ts', import.meta.url).pathname;

export async function startWitness(): Promise<Witness> {
  const folder = mkdtempSync(join(tmpdir(), 'everturn-witness-'));
  const file = join(folder, 'effects.jsonl');
  const child = spawn(process.execPath, [PROCESS, file], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [url] = (await once(createInterface(child.stdout), 'line')) as [string];
  return {
    url,
    file,
    records: () => {
      const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
      return lines.map((line) => JSON.parse(line) as WitnessRecord);
    },
    close: async () => {
      if (child.exitCode !== null) return;
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}

/** What a tool calls to act on the witness. Resolves when the effect is on the disk. */
export async function tellWitness(url: string, record: WitnessRecord): Promise<void> {
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(record) });
  if (!response.ok) throw new Error(`The witness answered ${response.status}.`);
}
