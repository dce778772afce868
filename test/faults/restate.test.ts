/** The agent of examples/restate: its turns and tools in Restate's journal, with the server and the worker killed in mid-run. */

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startModelServer } from '../../examples/model-server/server.ts';
import type { ModelServer } from '../../examples/model-server/server.ts';
import { freePort } from '../support/free-port.ts';
import { startWitness } from '../support/witness.ts';
import type { Witness } from '../support/witness.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const BINARY =
  process.env['RESTATE_SERVER'] ??
  join(root, `node_modules/@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`);
const why = existsSync(BINARY) ? '' : ' (skipped: install @restatedev/restate-server or set RESTATE_SERVER)';
const PIZZAS = ['Margherita', 'Funghi', 'Diavola', 'Marinara'];

let folder: string;
let model: ModelServer;
let witness: Witness;
let ports: { ingress: number; admin: number; fabric: number; worker: number };
let server: ChildProcess;
let worker: ChildProcess;

beforeEach(async (context) => {
  if (why !== '') return context.skip();
  folder = mkdtempSync(join(tmpdir(), 'everturn-restate-'));
  witness = await startWitness();
  model = await startModelServer({
    pacingMs: 20,
    scenarios: [
      {
        name: 'pizzas',
        matches: /pizzas/i,
        replies: [
          ...PIZZAS.map((kind) => ({
            text: 'One more, because four friends are hungry and none of them likes what another one likes.',
            toolCalls: [{ name: 'orderPizza', arguments: { kind } }],
          })),
          { text: 'All four are ordered.' },
        ],
      },
    ],
  });
  ports = {
    ingress: await freePort(),
    admin: await freePort(),
    fabric: await freePort(),
    worker: await freePort(),
  };
  server = startServer();
  worker = startWorker();
  await patiently(`${admin()}/health`);
  await patiently(`${admin()}/deployments`, { uri: `http://127.0.0.1:${ports.worker}` });
});
afterEach(async () => {
  for (const child of [server, worker]) child?.kill('SIGKILL');
  await model?.close();
  await witness?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

describe(`an unchanged agent on Restate${why}`, () => {
  it('finishes after its worker and its server were killed, and no committed effect happens again', async () => {
    const answer = call('order-1');
    await turn(2);
    worker.kill('SIGKILL');
    worker = startWorker();
    await turn(4);
    server.kill('SIGKILL');
    server = startServer();
    await patiently(`${admin()}/health`);
    await answer;
    const text = await attach('order-1');
    expect(text).toMatch(/All four .*are ordered/);
    const effects = witness.records().map(({ key }) => key);
    expect(effects).toHaveLength(PIZZAS.length);
    expect(new Set(effects).size).toBe(PIZZAS.length);
    expect(model.log.filter(({ outcome }) => outcome === 'completed')).toHaveLength(PIZZAS.length + 1);
  }, 120_000);

  it('gives a tool the same key again if its worker dies while it acts', async () => {
    const answer = call('order-2');
    await until(() => witness.records().length > 0);
    worker.kill('SIGKILL');
    worker = startWorker();
    await answer;
    expect(await attach('order-2')).toMatch(/All four .*are ordered/);
    const keys = witness.records().map(({ key }) => key);
    expect(new Set(keys).size).toBe(PIZZAS.length);
    expect(keys.length).toBeLessThanOrEqual(PIZZAS.length + 1);
  }, 120_000);
});

function admin(): string {
  return `http://127.0.0.1:${ports.admin}`;
}

function startServer(): ChildProcess {
  return spawn(BINARY, ['--base-dir', folder, '--node-name', 'one'], {
    stdio: 'ignore',
    env: {
      ...process.env,
      RESTATE_DISABLE_TELEMETRY: 'true',
      RESTATE_BIND_ADDRESS: `127.0.0.1:${ports.fabric}`,
      RESTATE_ADVERTISED_ADDRESS: `http://127.0.0.1:${ports.fabric}/`,
      RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ports.ingress}`,
      RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${ports.admin}`,
      RESTATE_DEFAULT_NUM_PARTITIONS: '2',
      RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE: '128MB',
    },
  });
}

function startWorker(): ChildProcess {
  return spawn(
    process.execPath,
    ['--conditions=everturn-source', join(root, 'examples/restate/worker.ts'), String(ports.worker)],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        ...process.env,
        OPENAI_API_KEY: 'local',
        OPENAI_BASE_URL: model.baseURL,
        KITCHEN_URL: witness.url,
        RESTATE_LOGGING: 'ERROR',
      },
    },
  );
}

/** Starts the run; the connection may die with the server. */
async function call(id: string): Promise<void> {
  await patiently(`http://127.0.0.1:${ports.ingress}/hello/${id}/run/send`, { prompt: 'Four pizzas, please.' });
}

async function attach(id: string): Promise<string> {
  const response = await patiently(`http://127.0.0.1:${ports.ingress}/restate/workflow/hello/${id}/attach`);
  return response.text();
}

/** The model streams, or thinks about, its n-th answer. */
async function turn(n: number): Promise<void> {
  await until(() => model.log.length >= n);
}

async function until(holds: () => boolean): Promise<void> {
  for (;;) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Asks until the answer is good: the server may be starting. The test's own time limit ends it. */
async function patiently(url: string, body?: object): Promise<Response> {
  for (;;) {
    try {
      const response = await fetch(
        url,
        body === undefined
          ? {}
          : { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } },
      );
      if (response.ok) return response;
      await response.text();
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
