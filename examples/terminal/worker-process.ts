/**
 * The process that runs the agent: `fork('worker-process.ts', [directory, prompt, from])`. It starts the run or goes on with it,
 * and tells its parent the chunks after the first `from`. When the run waits for a person, this process exits: what waits
 * is a row in runs.db. A process that finds an open approval asks for its decision first.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { UIMessageChunk } from 'ai';
import { createRuntime, DurableError } from 'everturn';
import type { JournalEvent, LogFields, Logger, RunStreamOptions } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { createSupportAgent } from '../support-agent/agent.ts';
import { openShop } from '../support-agent/database.ts';
import type { Decision, FromWorker, RefundInput, Unit } from './messages.ts';

const RUN = 'order-1042';
const [, , directory = '.', prompt = '', from = '0'] = process.argv;
const runs = join(directory, 'runs.db');
const shop = openShop(join(directory, 'shop.db'));

tell({ kind: 'recorded', units: toUnits(await recordedEvents()) });
const agent = createSupportAgent(shop, (call) => tell({ kind: 'tool', ...call }));
const runtime = createRuntime({ store: sqliteStore(runs), agents: { support: agent }, logger: supervisorLogger() });
const run = await runtime.start(agent, { id: RUN, prompt });
await decideOpenApprovals();

const leave = new AbortController();
const [next] = await Promise.all([tellChunks(Number(from), { signal: leave.signal }), leaveWhenWaiting()]);
if (leave.signal.aborted) {
  // What was committed with the wait, after the reader had been told to stop.
  await tellChunks(next, { follow: false });
  tell({ kind: 'waiting' });
} else {
  await run.result();
  const events = await run.events();
  tell({ kind: 'ended', status: await run.status, units: toUnits(events), events: events.length });
}
await runtime.close();
shop.close();
process.disconnect();

function tell(message: FromWorker): void {
  process.send?.(message);
}

/** What the runtime has to say about the run's life goes to the terminal, which is the supervisor's. */
function supervisorLogger(): Logger {
  const say = (fields: LogFields, message: string): void => {
    const reason = fields.err instanceof Error ? `: ${fields.err.message}` : '';
    tell({ kind: 'log', text: `${message}${reason}` });
  };
  return { debug: () => {}, info: () => {}, warn: say, error: say };
}

/** The journal as the last process left it, read before this one can add to it. */
async function recordedEvents(): Promise<JournalEvent[]> {
  const reader = createRuntime({ store: sqliteStore(runs), worker: false });
  try {
    return await reader.getRun(RUN).events();
  } catch (error) {
    if (DurableError.is(error, 'run_not_found')) return [];
    throw error;
  } finally {
    await reader.close();
  }
}

function toUnits(events: readonly JournalEvent[]): Unit[] {
  let turns = 0;
  return events.flatMap(({ type, key, meta }): Unit[] => {
    if (type === 'turn_completed') return [{ kind: 'turn', key, name: `turn ${++turns}` }];
    if (type === 'tool_completed' || type === 'tool_failed')
      return [{ kind: 'tool', key, name: String(meta?.['tool']) }];
    return [];
  });
}

async function decideOpenApprovals(): Promise<void> {
  const open = await runtime.approvals.list({ run: RUN });
  for (const approval of open.items) {
    tell({ kind: 'approval', id: approval.id, tool: approval.tool, input: approval.input as RefundInput });
    const [decision] = (await once(process, 'message')) as [Decision];
    const { approved, ...answer } = decision;
    await runtime.approvals[approved ? 'approve' : 'deny'](approval.id, { by: 'colleague', ...answer });
  }
}

/** Tells the chunks from an offset on; answers the offset after them. */
async function tellChunks(offset: number, options: RunStreamOptions): Promise<number> {
  let at = offset;
  for await (const chunk of run.stream<UIMessageChunk>({ ...options, from: offset })) {
    tell({ kind: 'chunk', chunk });
    at += 1;
  }
  return at;
}

async function leaveWhenWaiting(): Promise<void> {
  for (;;) {
    const status = await run.status;
    if (status === 'completed' || status === 'failed' || status === 'cancelled') return;
    const open = await runtime.approvals.list({ run: RUN });
    if (status === 'waiting' && open.items.length > 0) return leave.abort();
    await delay(50);
  }
}
