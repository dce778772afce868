/**
 * `npm run bench`: a table of ratios to floors that were measured in the same run. `--only steps,fan` runs some, `--quick`
 * takes fewer rounds, `--json` prints the figures as JSON, `--dir` puts the databases elsewhere. What each figure leaves out
 * is in docs/performance.md.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { agentTurn } from './agent-turn.ts';
import { burst } from './burst.ts';
import { eventLoop } from './event-loop.ts';
import { fan } from './fan.ts';
import { http } from './http.ts';
import { latency } from './latency.ts';
import { postgres } from './servers/postgres.ts';
import { redis } from './servers/redis.ts';
import type { Bench, Figure } from './report.ts';
import { toTable } from './report.ts';
import { durableStore } from './runtime.ts';
import { restart } from './restart.ts';
import { steps } from './steps.ts';
import { storage } from './storage.ts';
import { stream } from './stream.ts';
import { waiting } from './waiting.ts';
import { roundTrip } from './servers/round-trip.ts';
import { writers } from './writers.ts';

const BENCHES: readonly Bench[] = [
  steps,
  burst,
  latency,
  fan,
  agentTurn,
  stream,
  writers,
  storage,
  waiting,
  restart,
  eventLoop,
  http,
  postgres,
  redis,
  roundTrip,
];

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    dir: { type: 'string', default: tmpdir() },
  },
});

const folder = mkdtempSync(join(values.dir, 'everturn-bench-'));
let files = 0;
const file = (name: string): string => join(folder, `${(files += 1)}-${name}.db`);
const say = (line: string): void => void process.stderr.write(`${line}\n`);

try {
  const chosen = choose(values.only);
  const machine = await describeMachine();
  say(machine);
  const notes: string[] = [];
  const figures: Array<Figure & { bench: string }> = [];
  for (const bench of chosen) {
    say(`${bench.name} ...`);
    const found = await bench.run({ file, quick: values.quick, note: (line) => notes.push(line) });
    figures.push(...found.map((figure) => ({ bench: bench.name, ...figure })));
  }
  if (values.json) console.log(JSON.stringify({ machine, notes, figures }, null, 2));
  else console.log(['', toTable(figures), ...notes].join('\n'));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function choose(only: string | undefined): readonly Bench[] {
  if (only === undefined) return BENCHES;
  return only.split(',').map((name) => {
    const found = BENCHES.find((bench) => bench.name === name);
    if (found !== undefined) return found;
    throw new Error(`There is no bench "${name}". There are: ${BENCHES.map((bench) => bench.name).join(', ')}.`);
  });
}

/** The machine and the durability that every figure of a SQLite file was measured with, asked of a store of its own. */
async function describeMachine(): Promise<string> {
  const { store, durability } = durableStore(file('durability'));
  await store.close();
  const cores = cpus();
  return (
    `${cores.length} cores (${cores[0]?.model ?? 'unknown'}), Node ${process.version}, SQLite ${process.versions['sqlite'] ?? ''}; ` +
    `journal_mode = ${durability.journalMode}, synchronous = ${durability.synchronous} (FULL), the same for floors and stores`
  );
}
