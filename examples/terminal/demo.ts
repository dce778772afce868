/**
 * The demo on a terminal: the support agent is killed in the middle of its answer, goes on, and waits for a person without a process.
 * This supervisor is the terminal. It starts worker-process.ts, kills it, starts it again, and counts what happened.
 * `npm run demo:terminal -- [--yes] [--answer y|n|<amount>] [--pacing <ms per token>] [--kill-after <words>]`
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { openShop } from '../support-agent/database.ts';
import { startModelProcess } from '../support-agent/model-process.ts';
import type { Decision, FromWorker, RefundInput } from './messages.ts';
import { startWorkerProcess } from './processes.ts';
import type { WorkerProcess } from './processes.ts';
import { printReport } from './report.ts';
import type { Life } from './report.ts';
import { Screen } from './screen.ts';

const PROMPT = 'Hello, the kettle of my order 1042 arrived broken. Can I have my money back?';
const MOST_PROCESSES = 10;

const { values: options } = parseArgs({
  options: {
    yes: { type: 'boolean', default: false },
    answer: { type: 'string' },
    pacing: { type: 'string', default: '25' },
    'kill-after': { type: 'string', default: '40' },
  },
});

// So that the processes it started end with it, too.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const directory = mkdtempSync(join(tmpdir(), 'everturn-demo-'));
const screen = new Screen(process.stdout);
const shop = openShop(join(directory, 'shop.db'));
const model =
  process.env['OPENAI_API_KEY'] === undefined
    ? await startModelProcess({ logFile: join(directory, 'model.jsonl'), pacingMs: Number(options.pacing) })
    : undefined;
const env =
  model === undefined ? process.env : { ...process.env, OPENAI_BASE_URL: model.baseURL, OPENAI_API_KEY: 'local' };

const lives: Life[] = [];
/** Chunks of the run's stream that are on the screen: where the next process goes on. */
let shown = 0;

introduce();
let ended: Extract<FromWorker, { kind: 'ended' }> | undefined;
while (ended === undefined) ended = await live();
const right = printReport({ screen, lives, ended, shop, requests: await model?.requests() });
process.exitCode = right ? 0 : 1;
model?.stop();
shop.close();

function introduce(): void {
  screen.note('everturn: a support agent that survives kill -9', 'bold');
  const local =
    'a local server (set OPENAI_API_KEY for a real one). It puts a random mark, tk_..., into each response, so that doubled text would show';
  screen.note(`model: ${model === undefined ? 'OpenAI, by OPENAI_API_KEY' : local}`, 'dim');
  screen.note(`files: ${directory} (runs.db: runs; shop.db: customers, orders, refunds, outbox)`, 'dim');
  screen.note('');
  screen.note(`customer: ${PROMPT}`, 'bold');
}

/** One process from its start to its end. Answers the run's end, if that came. */
async function live(): Promise<typeof ended> {
  if (lives.length === MOST_PROCESSES) throw new Error(`The run has not ended after ${MOST_PROCESSES} processes.`);
  const worker = startWorkerProcess({ directory, prompt: PROMPT, from: shown, env });
  const life: Life = { recorded: [], end: 'exited' };
  lives.push(life);
  screen.note('');
  screen.note(`● process ${lives.length} started, pid ${worker.pid}`, 'cyan');
  let end: typeof ended;
  for await (const message of worker.messages()) {
    if (message.kind === 'ended') end = message;
    else await show(message, { worker, life });
  }
  if (life.end === 'killed') {
    const text = screen.openText.trim();
    await delay(Number(options.pacing) * 40);
    screen.note(
      `✗ process ${lives.length} killed by SIGKILL after ${words(text)} words: "... ${lastWords(text)}"`,
      'red',
    );
  }
  return end;
}

async function show(
  message: Exclude<FromWorker, { kind: 'ended' }>,
  { worker, life }: { worker: WorkerProcess; life: Life },
): Promise<void> {
  switch (message.kind) {
    case 'recorded':
      life.recorded = message.units.map((unit) => unit.key);
      if (life.recorded.length === 0) return;
      return screen.note(
        `  from the record, not run again: ${message.units.map((unit) => unit.name).join(', ')}`,
        'green',
      );
    case 'chunk':
      shown += 1;
      screen.chunk(message.chunk);
      if (message.chunk.type === 'reset-step')
        screen.note('  the unfinished turn was taken back; the model is asked again', 'yellow');
      return killInMidAnswer(worker, life);
    case 'tool':
      return screen.note(`  ${message.tool} runs now, attempt ${message.attempt}`, 'yellow');
    case 'log':
      return screen.note(`  the runtime says: ${message.text}`, 'yellow');
    case 'approval':
      return worker.decide(await ask(message.input));
    case 'waiting':
      life.end = 'waiting';
      return screen.note(
        `◆ the refund waits for a person; process ${lives.length} has nothing to do and exits`,
        'magenta',
      );
  }
}

function killInMidAnswer(worker: WorkerProcess, life: Life): void {
  const killed = lives.some(({ end }) => end === 'killed');
  if (killed || words(screen.openText) < Number(options['kill-after'])) return;
  life.end = 'killed';
  worker.kill();
}

/** Asks the person at the terminal; where there is none, the answer is yes (or what --answer says). */
async function ask({ orderId, amount, reason }: RefundInput): Promise<Decision> {
  const question = `? Refund ${amount.toFixed(2)} EUR for order ${orderId} (${reason})? [y]es, [n]o, or another amount: `;
  const given = options.answer ?? (options.yes || !process.stdin.isTTY ? 'y' : undefined);
  if (given !== undefined) screen.note(`${question}${given} (answered by itself)`, 'magenta');
  const text = given ?? (await askPerson(question));
  const other = Number(text);
  if (/^y(es)?$/i.test(text)) return { approved: true };
  if (/^no?$/i.test(text)) return { approved: false, reason: 'The colleague said no.' };
  if (other > 0 && other <= amount) return { approved: true, input: { orderId, amount: other, reason } };
  screen.note(`"${text}" is neither y, n nor an amount up to ${amount.toFixed(2)}.`, 'red');
  if (given !== undefined) throw new Error('--answer must be y, n or an amount.');
  return ask({ orderId, amount, reason });
}

async function askPerson(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const text = await terminal.question(question);
  terminal.close();
  return text.trim();
}

function words(text: string): number {
  return text.match(/\S+/g)?.length ?? 0;
}

function lastWords(text: string): string {
  return text.split(/\s+/).slice(-6).join(' ');
}
