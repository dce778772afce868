import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { UIMessage } from 'ai';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startChild } from '../support/child.ts';
import type { Death } from '../support/deadly-store.ts';
import type { Form } from './inner-kit.ts';
import { cardsOf } from './inner-kit.ts';
import type { InnerLife } from './inner-process.ts';

const PROCESS = new URL('inner-process.ts', import.meta.url);

/** One process after the other on one file; the first of them kills itself. */
async function live(forms: [Form, Form], death?: Death) {
  const folder = mkdtempSync(join(tmpdir(), 'everturn-inner-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const life: InnerLife = {
    file: join(folder, 'app.db'),
    log: join(folder, 'log'),
    witness: join(folder, 'ran'),
    forms,
  };
  const signals: Array<NodeJS.Signals | null> = [];
  if (death !== undefined) signals.push((await startChild(PROCESS, { ...life, death }).ended).signal);
  const last = startChild<UIMessage['parts']>(PROCESS, life);
  const parts = await last.message(() => true);
  await last.ended;
  const linesOf = (file: string): string[] => readFileSync(file, 'utf8').trim().split('\n');
  return { signals, cards: cardsOf(parts), ran: linesOf(life.witness), writes: linesOf(life.log) };
}

const APPROVAL = 'agent#0/approval:apr';
const NOTICES = 'agent#0/t0/tool:call_1_1/child:research/notices';

/** What is written on the way of one approval of a child run. */
const CHILD_STAGES: Array<[stage: string, death: Omit<Death, 'when'>]> = [
  ['the request in the child', { at: 'segment_completed agent#0' }],
  ['the notice to the top', { since: 'segment_completed agent#0', at: 'deliver' }],
  ['the record that the top was told', { at: `step_completed ${APPROVAL}/surfaced` }],
  ['the notice at the top', { at: `message_received ${NOTICES}` }],
  ['the card', { at: `chunk_written ${NOTICES}` }],
  ['the answer in the child', { since: `step_completed ${APPROVAL}/surfaced`, at: `message_received ${APPROVAL}` }],
  ['the record that the top was told of the answer', { at: `step_completed ${APPROVAL}/settled` }],
];

/** The same for one of the run itself. */
const CALL_STAGES: Array<[stage: string, death: Omit<Death, 'when'>]> = [
  ['what is asked', { nth: 6 }],
  ['the request', { nth: 7 }],
  ['the answer', { nth: 9 }],
];

describe.each(['before', 'after'] as const)('a process that is killed %s it writes', (when) => {
  it.each(CHILD_STAGES)(
    '%s, below two child runs, loses nothing and shows the card once',
    async (_, death) => {
      const { signals, cards, ran } = await live(['child', 'child'], { when, ...death });
      expect(signals).toEqual(['SIGKILL']);
      expect(cards.map(({ data }) => data.status)).toEqual(['approved']);
      expect(ran.toSorted()).toEqual(['list', 'rm a']);
    },
    60_000,
  );

  it.each(CALL_STAGES)(
    '%s, of a call below two calls, loses nothing and shows the card once',
    async (_, death) => {
      const { signals, cards, ran } = await live(['call', 'call'], { when, ...death });
      expect(signals).toEqual(['SIGKILL']);
      expect(cards.map(({ data }) => data.status)).toEqual(['approved']);
      expect(new Set(ran)).toEqual(new Set(['list', 'rm a']));
    },
    60_000,
  );
});
