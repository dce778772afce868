/** The code of docs/streams.md, run: each block of TypeScript there stands in this file word for word, and the commands are taken from the page. */

import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { stream } from '@durable-streams/client';
import { createRuntime, DurableAgent, getWritable, step, workflow } from 'everturn';
import { readStream } from 'everturn/client';
import { memoryStore } from 'everturn/memory';
import { createApp, serve } from 'everturn/server';
import { scriptedModel } from 'everturn/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';

const here = import.meta.dirname;
const page = readFileSync(join(here, '../../docs/streams.md'), 'utf8');
const blocksOf = (language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'))].map((match) => match[1] ?? '');

const totalOf = async (_order: string): Promise<number> => 20;
const ROWS = ['A1', 'A2', 'A3'].map((order) => ({ order, total: 20 }));

const report = workflow('report', async (orders: string[]) => {
  await step('export', async () => {
    const rows = getWritable({ namespace: 'rows' }).getWriter();
    for (const order of orders) await rows.write({ order, total: await totalOf(order) });
    await rows.close();
  });
  return orders.length;
});

const summary = workflow('summary', async () => {
  await step('totals', async () => {
    const totals = getWritable({ namespace: 'totals', commit: 'end' }).getWriter();
    await totals.write({ paid: 3, open: 1 });
  });
  await step('invoice', async () => {
    const invoice = getWritable({ namespace: 'invoice' }).getWriter();
    for (const line of ['order,total\n', 'A1,20\n']) await invoice.write(new TextEncoder().encode(line));
  });
});

const closing: Array<() => Promise<void>> = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const close of closing.splice(0)) await close();
});

async function openSite(): Promise<{ api: string }> {
  const store = memoryStore();
  const support = new DurableAgent({ model: scriptedModel(() => 'Hello to you') });
  const runtime = createRuntime({ store, workflows: [report, summary], agents: { support } });
  const app = createApp(runtime, {
    authorize: () => ({ id: 'me' }),
    streamType: ({ namespace }) => (namespace === 'invoice' ? 'text/csv' : undefined),
  });
  const server = await serve(app, { port: 0 });
  closing.push(async () => {
    await server.close();
    await runtime.close({ graceMs: 0 });
  });
  await (await runtime.start(report, { id: 'run_1', input: ['A1', 'A2', 'A3'] })).result();
  await (await runtime.start(summary, { id: 'run_2' })).result();
  await (await runtime.start(support, { prompt: 'Hello', thread: 't1' })).result();
  return { api: `${server.url}/api` };
}

/** Answers 503 first, then cuts an answer in the middle of its second line, once as if it had ended and once not; then it passes them on whole. */
async function openBadServer(api: string): Promise<string> {
  let asked = 0;
  const server = createServer(({ url = '', headers }, response) => {
    asked += 1;
    if (asked === 1) {
      response.writeHead(503).end('not yet');
      return;
    }
    void fetch(api + url, { headers: { accept: headers.accept ?? '' } }).then(async (answer) => {
      const text = await answer.text();
      // Without chunks an end of the connection is the end of the body.
      if (asked === 2) response.removeHeader('transfer-encoding');
      response.writeHead(answer.status, { connection: 'close' });
      if (asked > 3) response.end(text);
      else response.write(text.slice(0, text.indexOf('\n') + 9), () => response.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(async () => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function recordLog(): unknown[] {
  const logged: unknown[] = [];
  vi.spyOn(console, 'log').mockImplementation((value) => void logged.push(value));
  return logged;
}

describe('docs/streams.md', () => {
  it('shows no other TypeScript than what stands here', () => {
    const own = readFileSync(join(here, 'guide.test.ts'), 'utf8').replaceAll(/^ +/gm, '');
    const blocks = blocksOf('ts');
    expect(blocks.length).toBeGreaterThan(5);
    for (const block of blocks) expect(own).toContain(block.trim().replaceAll(/^ +/gm, ''));
  });

  it('writes, and reads in the process', async () => {
    const store = memoryStore();
    const logged = recordLog();
    const runtime = createRuntime({
      store,
      workflows: [report],
      streams: { keep: { chunks: 10_000, age: '7d' } },
    });
    closing.push(() => runtime.close({ graceMs: 0 }));
    const run = await runtime.start(report, { input: ['A1', 'A2', 'A3'] });
    for await (const row of run.stream({ namespace: 'rows' })) console.log(row);
    expect(logged).toEqual(ROWS);
  });

  it('reads from elsewhere, by readStream and by the official client', async () => {
    const { api } = await openSite();
    const logged = recordLog();
    let saved: string | number | undefined = 1;
    for await (const { id, data } of readStream(`${api}/runs/run_1/streams/rows`, { from: saved })) {
      console.log(data);
      saved = id;
    }
    expect(logged).toEqual(ROWS.slice(1));
    expect(saved).toBe('0000000000000003');
    logged.length = 0;
    const response = await stream({ url: `${api}/runs/run_1/streams/rows`, offset: '-1', live: true });
    for await (const row of response.jsonStream()) console.log(row);
    expect(logged).toEqual(ROWS);
  });

  it('writes with the end of a step, and bytes that are served as what they are', async () => {
    const { api } = await openSite();
    expect(await (await fetch(`${api}/runs/run_2/streams/totals`)).json()).toEqual([{ paid: 3, open: 1 }]);
    const invoice = await fetch(`${api}/runs/run_2/streams/invoice`);
    expect([invoice.headers.get('content-type'), await invoice.text()]).toEqual(['text/csv', 'order,total\nA1,20\n']);
  });

  it.skipIf(!existsSync('/usr/bin/curl'))('reads by curl', async () => {
    const { api } = await openSite();
    const commands = blocksOf('sh').join('').trim().split('\n');
    const outputs = await Promise.all(
      commands.map(async (command) => {
        const bounded = command.replace('curl', 'curl --max-time 2').replace('http://localhost:3000/api', api);
        return promisify(execFile)('sh', ['-c', bounded]).then(
          ({ stdout }) => stdout,
          // A thread's stream stays open.
          ({ stdout }: { stdout: string }) => stdout,
        );
      }),
    );
    const [first, second, lines, thread] = outputs;
    expect(JSON.parse(first ?? '')).toEqual(ROWS);
    expect(JSON.parse(second ?? '')).toEqual(ROWS.slice(2));
    expect(lines?.trim()).toBe(blocksOf('json')[0]?.trim());
    expect(thread).toContain('event: run\n');
    expect(thread).toContain('"Hello');
    expect(thread).toMatch(/id: run_\w+~\d{16}\ndata: \{"type":"finish"/);
  });

  it.skipIf(!existsSync('/usr/bin/python3'))(
    'reads by Python, through a server that is not there yet and cuts lines',
    async () => {
      const { api } = await openSite();
      const bad = await openBadServer(api);
      const folder = mkdtempSync(join(tmpdir(), 'everturn-guide-'));
      const file = join(folder, 'read.py');
      writeFileSync(
        file,
        `${blocksOf('python')[0] ?? ''}
print(json.dumps(list(read("${bad}/runs/run_1/streams/rows"))))
print(b"".join(read("${bad}/runs/run_2/streams/invoice")).decode(), end="")
`,
      );
      const { stdout } = await promisify(execFile)('/usr/bin/python3', [file]).finally(() =>
        rmSync(folder, { recursive: true }),
      );
      const [rows, ...invoice] = stdout.split('\n');
      expect(JSON.parse(rows ?? '')).toEqual(ROWS);
      expect(invoice.join('\n')).toBe('order,total\nA1,20\n');
    },
  );
});
