/** A process that writes a run's streams and may be killed at any moment: the next one on the same file goes on. */

import { setTimeout as delay } from 'node:timers/promises';
import { createRuntime, getWritable, step, workflow } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';

const CHAPTERS = 6;
const WORDS = 80;

const novel = workflow('novel', async () => {
  const facts = getWritable({ namespace: 'facts' }).getWriter();
  for (let chapter = 0; chapter < CHAPTERS; chapter += 1) {
    await facts.write({ chapter });
    await step('chapter', async () => {
      const text = getWritable().getWriter();
      const log = getWritable({ namespace: 'log', commit: 'end' }).getWriter();
      for (let word = 0; word < WORDS; word += 1) {
        await text.write({ type: 'text-delta', id: `chapter-${chapter}`, delta: ` word${word}` });
        if (word % 16 === 0) await text.write(Uint8Array.from({ length: 700 }, (_, index) => (word * index) % 251));
        await log.write(`${chapter}.${word}`);
        if (word % 8 === 0) await delay(2);
      }
    });
  }
});

const runtime = createRuntime({ store: sqliteStore(process.argv[2] ?? ''), workflows: [novel] });
const run = await runtime.start(novel, { id: 'novel', input: undefined });
console.log('writing');
await run.result();
console.log('ended');
await runtime.close();
