import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { LogEntry } from '../../examples/model-server/request-log.ts';
import { openShop } from '../../examples/support-agent/database.ts';
import type { Shop } from '../../examples/support-agent/database.ts';

const DEMO = fileURLToPath(new URL('../../examples/terminal/demo.ts', import.meta.url));

interface Outcome {
  code: number | null;
  output: string;
  /** The assistant's words, without the demo's own lines. */
  answer: string;
  requests: LogEntry[];
  shop: {
    refunds: ReturnType<Shop['refunds']>;
    outbox: ReturnType<Shop['outbox']>;
    toolCalls: ReturnType<Shop['toolCalls']>;
  };
}

async function runDemo(...args: string[]): Promise<Outcome> {
  const { OPENAI_API_KEY: _key, ...env } = process.env;
  const child = spawn(process.execPath, ['--conditions=everturn-source', DEMO, '--pacing', '6', ...args], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  const [code] = (await once(child, 'close')) as [number | null];
  const directory = /^files: (\S+)/m.exec(output)?.[1] ?? '';
  const lines = readFileSync(join(directory, 'model.jsonl'), 'utf8').split('\n').filter(Boolean);
  const shop = openShop(join(directory, 'shop.db'));
  const outcome: Outcome = {
    code,
    output,
    answer: output.match(/^ {4}[^→←\s].*$/gm)?.join('\n') ?? '',
    requests: lines.map((line) => JSON.parse(line) as LogEntry).toSorted((a, b) => a.time.localeCompare(b.time)),
    shop: { refunds: shop.refunds(), outbox: shop.outbox(), toolCalls: shop.toolCalls() },
  };
  shop.close();
  return outcome;
}

function countOf(text: string, part: string): number {
  return text.split(part).length - 1;
}

/** The demo's own checks that did not hold. */
function failures(output: string): string[] {
  return output.split('\n').filter((line) => line.startsWith('✗') && !line.includes('SIGKILL'));
}

describe('the terminal demo', { timeout: 60_000 }, () => {
  it('is killed in mid-answer, waits without a process, and refunds and tells the customer once', async () => {
    const { code, output, answer, requests, shop } = await runDemo('--yes');
    expect(failures(output)).toEqual([]);
    expect(code).toBe(0);
    expect(output.match(/killed by SIGKILL after \d+ words/g)).toHaveLength(1);
    expect(output.match(/waits for a person; process \d+ has nothing to do and exits/g)).toHaveLength(1);
    expect(output.match(/process \d+ started/g)).toHaveLength(3);
    expect(output).toContain('from the record, not run again: turn 1, readOrder');
    expect(shop.refunds).toMatchObject([{ orderId: 1042, amount: 89 }]);
    expect(shop.outbox).toMatchObject([{ customerId: 17, text: expect.stringContaining('89.00 EUR') }]);
    expect(shop.toolCalls.map((call) => call.tool)).toEqual(['readOrder', 'refund', 'sendMessage']);

    expect(requests.map((request) => request.turn)).toEqual([0, 1, 1, 2, 3]);
    const [, abandoned] = requests;
    for (const { token } of requests)
      expect([token, countOf(answer, token ?? '')]).toEqual([token, token === abandoned?.token ? 0 : 3]);
  });

  it('refunds what the person says', async () => {
    const { code, output, answer, shop } = await runDemo('--answer', '60', '--kill-after', '55');
    expect(failures(output)).toEqual([]);
    expect(code).toBe(0);
    expect(shop.refunds).toMatchObject([{ orderId: 1042, amount: 60 }]);
    expect(answer).toContain('60.00 EUR');
  });

  it('refunds nothing if the person says no', async () => {
    const { code, output, shop } = await runDemo('--answer', 'n', '--kill-after', '5');
    expect(failures(output)).toEqual([]);
    expect(code).toBe(0);
    expect(shop.refunds).toEqual([]);
    expect(shop.outbox).toEqual([]);
    expect(shop.toolCalls.map((call) => call.tool)).toEqual(['readOrder']);
  });
});
