/**
 * The process that runs the agent: `fork('worker-process.ts', [directory, prompt, from])`. It starts the run or goes on with it,
 * and tells its parent the chunks after the first `from`. When the run waits for a person and this process has not asked
 * one, it exits: what waits is a row in runs.db.
 */
import { join } from 'node:path';
import { createRuntime } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { createSupportAgent } from './agent.ts';
import { openShop } from './database.ts';
import type { Decision, FromWorker, RefundInput, Unit } from './messages.ts';

const [, , directory = '.', prompt = '', from = '0'] = process.argv;
const tell = (message: FromWorker): void => void process.send?.(message);
// The supervisor is gone: nobody sees what this process does.
process.once('disconnect', () => process.exit(1));

const shop = openShop(join(directory, 'shop.db'));
const agent = createSupportAgent(shop, (call) => tell({ kind: 'tool', ...call }));
const runtime = await createRuntime({ store: sqliteStore(join(directory, 'runs.db')), agents: { support: agent } });
const run = await runtime.start(agent, { id: 'order-1042', prompt });
