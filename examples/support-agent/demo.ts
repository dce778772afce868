/**
 * The demo in a browser. This supervisor starts the model server and the server process, prints where the page is, and starts the
 * server process again whenever it dies.
 * `npm run demo -- [--port 3000] [--pacing <ms per token>] [--marked]`
 */
import { fork } from 'node:child_process';
import { on } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, styleText } from 'node:util';
import { bundlePage } from './bundle.ts';
import type { FromServer } from './messages.ts';
import { endWithThisProcess, extensionOf, startModelProcess } from './model-process.ts';
import type { ServerProcessOptions } from './server-process.ts';

/** So that people see that the server is gone. */
const RESTART_MS = 900;

const { values: options } = parseArgs({
  options: {
    port: { type: 'string', default: '3000' },
    pacing: { type: 'string', default: '45' },
    /** The model puts a random mark into each text, so that doubled text would show. */
    marked: { type: 'boolean', default: false },
  },
});

// So that the processes it started end with it, too.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const directory = mkdtempSync(join(tmpdir(), 'everturn-demo-'));
const isLocal = process.env['OPENAI_API_KEY'] === undefined;
const [model, port] = await Promise.all([
  isLocal
    ? startModelProcess({
        logFile: join(directory, 'model.jsonl'),
        pacingMs: Number(options.pacing),
        plain: !options.marked,
      })
    : undefined,
  freePort(Number(options.port)),
  bundlePage(join(directory, 'page')),
]);
const env =
  model === undefined ? process.env : { ...process.env, OPENAI_BASE_URL: model.baseURL, OPENAI_API_KEY: 'local' };

for (let life = 1; ; life += 1) {
  const startedAt = Date.now();
  await live({
    directory,
    port,
    life,
    ...(model === undefined ? {} : { modelLog: new URL('/log', model.baseURL).href }),
  });
  if (Date.now() - startedAt < 200) throw new Error('The server process ends as soon as it starts.');
  await delay(RESTART_MS);
}

/** One server process, from its start to its end. */
async function live(serverOptions: ServerProcessOptions): Promise<void> {
  const path = fileURLToPath(new URL(`server-process${extensionOf(import.meta.url)}`, import.meta.url));
  const child = fork(path, [JSON.stringify(serverOptions)], { env, stdio: 'inherit' });
  endWithThisProcess(child);
  for await (const [message] of on(child, 'message', { close: ['disconnect'] })) {
    const told = message as FromServer;
    if (told.kind === 'kill') child.kill('SIGKILL');
    else if (serverOptions.life === 1) introduce(told.url);
    else console.log(styleText('green', `  ● process ${serverOptions.life}, pid ${child.pid}: goes on where it was`));
  }
  console.log(styleText('red', `  ✗ process ${serverOptions.life}, pid ${child.pid}: gone`));
}

function introduce(url: string): void {
  const line = (text = ''): void => console.log(`  ${text}`);
  line();
  line(`${styleText('bold', 'everturn')}: a support agent that survives kill -9`);
  line();
  line(`Open  ${styleText(['bold', 'cyan'], url)}`);
  line();
  line('Try   1. Ask for your money back, and press "Kill the server" while the agent writes.');
  line('      2. Kill it again while the refund waits for you. Then approve it, deny it, or change the amount.');
  line('      3. Reload in the middle. Open the page twice. Press Stop.');
  line('      4. Take what else the page suggests: an approval that expires, a question, a call in doubt, a budget.');
  line('      5. Approvals are mailed, to this terminal: open a link in any browser, and decide there.');
  line();
  line(
    styleText(
      'dim',
      `model: ${isLocal ? 'a local server; set OPENAI_API_KEY for a real one' : 'OpenAI, by OPENAI_API_KEY'}`,
    ),
  );
  line(styleText('dim', `files: ${directory}`));
  line();
}

/** The port that is asked for, or any free one if it is taken. Every process of the server gets the same. */
async function freePort(asked: number): Promise<number> {
  return (await tryPort(asked)) ?? (await tryPort(0)) ?? asked;
}

function tryPort(candidate: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const probe = createServer()
      .once('error', () => resolve(undefined))
      .listen(candidate, '127.0.0.1', () => {
        const { port: free } = probe.address() as AddressInfo;
        probe.close(() => resolve(free));
      });
  });
}
