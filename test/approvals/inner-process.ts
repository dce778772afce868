/** A process on a file of agents below one another, which answers what it is asked, and may kill itself at a write. */

import { appendFileSync } from 'node:fs';
import type { UIMessageChunk } from 'ai';
import { createRuntime } from 'everturn';
import type { AgentResult } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { recordingLogger, until } from '../agent/run-kit.ts';
import { collect } from '../support/collect.ts';
import { deadlyStore } from '../support/deadly-store.ts';
import type { Death } from '../support/deadly-store.ts';
import { cardsOf, treeOf } from './inner-kit.ts';
import type { Form } from './inner-kit.ts';

export interface InnerLife {
  file: string;
  log: string;
  /** Commands that ran, one a line. */
  witness: string;
  forms: [Form, Form];
  death?: Death;
}

const { file, log, witness, forms, death } = JSON.parse(process.argv[2] ?? '') as InnerLife;
const { agents } = treeOf({
  forms,
  commands: ['rm a'],
  ran: (command) => appendFileSync(witness, `${command}\n`),
});
const store = deadlyStore(sqliteStore(file), { death, log });
const runtime = createRuntime({ store, agents, logger: recordingLogger().logger });
const run = await runtime.start(agents.support, { prompt: 'Go', id: 'run_1', thread: 't1', by: 'eve' });
const asked = await until(async () => {
  const { items } = await runtime.approvals.list({ thread: 't1', status: 'all' });
  if (items[0] === undefined || items[0].status !== 'pending') return items[0];
  // Whoever answers has seen it at the top.
  const shown = cardsOf(await collect(run.stream<UIMessageChunk>({ follow: false })));
  return shown.length > 0 && items[0];
});
if (asked.status === 'pending') await runtime.approvals.approve(asked.id, { by: 'ada' });
const result = (await run.result()) as AgentResult;
process.send?.(result.uiMessage.parts);
await runtime.close();
process.disconnect();
