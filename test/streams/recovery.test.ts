import type { UIMessage, UIMessageChunk } from 'ai';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { foldMessage, mergeDeltas } from '../../src/streams/fold.ts';
import { createRecoveryFilter, recoveryPlan } from '../../src/streams/recovery.ts';

/** What an pass that repeats `again` appends to what is stored. */
function append(stored: UIMessageChunk[], again: UIMessageChunk[]): UIMessageChunk[] {
  const filter = createRecoveryFilter(recoveryPlan(stored));
  return again.flatMap((chunk) => filter.next(chunk));
}

function step(text: string): UIMessageChunk[] {
  return [
    { type: 'start-step' },
    { type: 'text-start', id: 't' },
    ...text.split('').map((delta): UIMessageChunk => ({ type: 'text-delta', id: 't', delta })),
    { type: 'text-end', id: 't' },
    { type: 'finish-step' },
  ];
}

const start: UIMessageChunk = { type: 'start', messageId: 'm' };
const finish: UIMessageChunk = { type: 'finish', finishReason: 'stop' };
const reset: UIMessageChunk = { type: 'reset-step' };

describe('a re-executed segment', () => {
  const whole = [start, ...step('ab'), ...step('cd'), finish];

  it('appends everything where nothing is stored', () => {
    expect(append([], whole)).toEqual(whole);
  });

  it('appends nothing where all is stored', () => {
    expect(append(whole, whole)).toEqual([]);
  });

  it('takes the open step back once and writes it again without its start-step', () => {
    const stored = [start, ...step('ab'), ...step('xy').slice(0, 3)];
    expect(append(stored, whole)).toEqual([reset, ...step('cd').slice(1), finish]);
  });

  it('writes no reset-step where the step shows nothing yet', () => {
    const begun = [start, ...step('ab'), ...step('xy').slice(0, 1)];
    expect(append(begun, whole)).toEqual([...step('cd').slice(1), finish]);
    const takenBack = [start, ...step('ab'), ...step('xy').slice(0, 3), reset];
    expect(append(takenBack, whole)).toEqual([...step('cd').slice(1), finish]);
  });

  it('takes back what followed an earlier reset-step', () => {
    const stored = [start, ...step('xy').slice(0, 3), reset, ...step('zw').slice(1, 3)];
    expect(append(stored, whole)).toEqual([reset, ...step('ab').slice(1), ...step('cd'), finish]);
  });

  it('counts a step as complete whatever was reset in it', () => {
    const stored = [start, ...step('xy').slice(0, 3), reset, ...step('ab').slice(1)];
    expect(append(stored, whole)).toEqual([...step('cd'), finish]);
  });

  it('keeps the text that a stopped user saw and adds only the end', () => {
    const stored: UIMessageChunk[] = [start, ...step('ab').slice(0, 3), { type: 'abort' }];
    expect(append(stored, [start, { type: 'start-step' }, { type: 'abort' }, finish])).toEqual([finish]);
    expect(append([...stored, finish], [start, { type: 'abort' }, finish])).toEqual([]);
  });

  it('stops without a reset-step if it is aborted before the step shows anything new', () => {
    const stored = [start, ...step('ab').slice(0, 3)];
    const again: UIMessageChunk[] = [start, { type: 'start-step' }, { type: 'abort' }, finish];
    expect(append(stored, again)).toEqual([{ type: 'abort' }, finish]);
  });

  it('adds no other end after a finish', () => {
    expect(append([start, ...step('ab'), finish], [start, ...step('ab'), { type: 'abort' }, finish])).toEqual([]);
    expect(append([start, ...step('ab'), finish], [{ type: 'error', errorText: 'late' }, finish])).toEqual([]);
  });

  it('adds no end to a message that was finished before the segment', () => {
    const filter = createRecoveryFilter(recoveryPlan([], finish));
    const end: UIMessageChunk[] = [{ type: 'abort' }, finish];
    expect(end.flatMap((chunk) => filter.next(chunk))).toEqual([]);
    expect([...step('ab'), ...end].flatMap((chunk) => filter.next(chunk))).toEqual([...step('ab'), ...end]);
  });

  it('ends again where the message went on after a finish', () => {
    const stored = [finish, ...step('ab').slice(0, 3)];
    expect(append(stored, [...step('cd'), finish])).toEqual([reset, ...step('cd').slice(1), finish]);
    expect(append([finish], [...step('cd'), { type: 'abort' }, finish])).toEqual([
      ...step('cd'),
      { type: 'abort' },
      finish,
    ]);
    expect(append([finish, ...step('ab')], [...step('ab'), { type: 'abort' }, finish])).toEqual([
      { type: 'abort' },
      finish,
    ]);
  });

  it('skips chunks outside of steps by type and id, each as often as it is stored', () => {
    const output = (toolCallId: string, value: number): UIMessageChunk => ({
      type: 'tool-output-available',
      toolCallId,
      output: value,
    });
    const again: UIMessageChunk[] = [
      start,
      { type: 'tool-approval-response', approvalId: 'a1', approved: true },
      { type: 'tool-approval-response', approvalId: 'a2', approved: false },
      { type: 'tool-output-denied', toolCallId: 'c2' },
      output('c1', 1),
      { type: 'message-metadata', messageMetadata: { n: 1 } },
      { type: 'message-metadata', messageMetadata: { n: 2 } },
      ...step('ab'),
    ];
    for (let cut = 0; cut <= 7; cut += 1) expect(append(again.slice(0, cut), again)).toEqual(again.slice(cut));
    expect(append([start, output('c1', 1)], again)).toEqual(
      again.filter((chunk) => chunk !== start && chunk.type !== 'tool-output-available'),
    );
  });

  it('never takes a preliminary output for the final one', () => {
    const preliminary: UIMessageChunk = {
      type: 'tool-output-available',
      toolCallId: 'c',
      output: 1,
      preliminary: true,
    };
    const final: UIMessageChunk = { type: 'tool-output-available', toolCallId: 'c', output: 2 };
    expect(append([start, preliminary], [start, final])).toEqual([final]);
    expect(append([start, preliminary, final], [start, final])).toEqual([]);
    expect(append([start, preliminary], [start, preliminary, preliminary, final])).toEqual([preliminary, final]);
  });

  it("keeps a tool's data parts with ids, the last of each, through any number of resets", () => {
    const data = (id: string | undefined, value: number): UIMessageChunk => ({
      type: 'data-progress',
      ...(id === undefined ? {} : { id }),
      data: value,
    });
    const begun = [start, ...step('xy').slice(0, 3)];
    const stored = [
      ...begun,
      data('p', 1),
      data('q', 2),
      data('p', 3),
      data(undefined, 4),
      { ...data('t', 5), transient: true },
    ];
    const kept = [data('p', 3), data('q', 2)];
    expect(append(stored, whole)).toEqual([reset, ...kept, ...step('ab').slice(1), ...step('cd'), finish]);
    const again = [...stored, reset, ...kept, ...step('zw').slice(1, 3)];
    expect(append(again, whole)).toEqual([reset, ...kept, ...step('ab').slice(1), ...step('cd'), finish]);
    expect(append([...stored, reset, ...kept], whole)).toEqual([...step('ab').slice(1), ...step('cd'), finish]);
  });

  it('takes nothing back of a step that is repeated, and appends what is missing of it', () => {
    const call: UIMessageChunk[] = [
      { type: 'tool-input-start', toolCallId: 'c', toolName: 'search' },
      { type: 'tool-input-delta', toolCallId: 'c', inputTextDelta: '{}' },
      { type: 'tool-input-available', toolCallId: 'c', toolName: 'search', input: {} },
      { type: 'tool-output-available', toolCallId: 'c', output: 1, preliminary: true },
      { type: 'tool-output-available', toolCallId: 'c', output: 2 },
    ];
    const written = [
      start,
      ...step('ab'),
      ...step('xyz').slice(0, -1),
      ...call,
      { type: 'finish-step' as const },
      finish,
    ];
    const again = mergeDeltas(written);
    for (let cut = 0; cut <= written.length; cut += 1) {
      const stored = written.slice(0, cut);
      const filter = createRecoveryFilter(recoveryPlan(stored), { resumes: true });
      expect(filter.reset()).toEqual([]);
      const appended = again.flatMap((chunk) => filter.next(chunk));
      expect(mergeDeltas([...stored, ...appended])).toEqual(again);
    }
  });

  it('takes a step back that was to be repeated and turns out to be another, with all that was passed over', () => {
    const stored = [start, ...step('ab').slice(0, 4)];
    for (const other of ['ax', 'a', 'abc']) {
      const filter = createRecoveryFilter(recoveryPlan(stored), { resumes: true });
      const appended = [start, ...step(other)].flatMap((chunk) => filter.next(chunk));
      const longer: UIMessageChunk[] = [{ type: 'text-delta', id: 't', delta: 'c' }, ...step('').slice(2)];
      expect(appended).toEqual(other === 'abc' ? longer : [reset, ...mergeDeltas(step(other).slice(1))]);
    }
  });

  it('gives the reset-step early on demand, and then not again', () => {
    const filter = createRecoveryFilter(recoveryPlan([start, ...step('xy').slice(0, 3)]));
    expect(filter.reset()).toEqual([reset]);
    expect(filter.reset()).toEqual([]);
    expect([start, ...step('ab')].flatMap((chunk) => filter.next(chunk))).toEqual(step('ab').slice(1));
  });
});

/** The message of the segments before: two calls wait for approval. */
const history: UIMessageChunk[] = [
  { type: 'start', messageId: 'm' },
  { type: 'start-step' },
  { type: 'tool-input-available', toolCallId: 'p0', toolName: 'refund', input: {} },
  { type: 'tool-approval-request', toolCallId: 'p0', approvalId: 'a0' },
  { type: 'tool-input-available', toolCallId: 'p1', toolName: 'refund', input: {} },
  { type: 'tool-approval-request', toolCallId: 'p1', approvalId: 'a1' },
  { type: 'finish-step' },
];

/** What one step may write between its start and its end; `at` tells attempts apart. */
function stepBody(kinds: number[], at: string): UIMessageChunk[] {
  return kinds.flatMap((kind, n): UIMessageChunk[] => {
    const id = `${n}`;
    const toolCallId = `${at}-${n}`;
    if (kind === 0) return [{ type: 'text-start', id }, ...deltas('text-delta', { id, at }), { type: 'text-end', id }];
    if (kind === 1)
      return [{ type: 'reasoning-start', id }, ...deltas('reasoning-delta', { id, at }), { type: 'reasoning-end', id }];
    if (kind === 2) return [{ type: 'source-url', sourceId: toolCallId, url: `https://example.com/${at}` }];
    return [
      { type: 'tool-input-start', toolCallId, toolName: 'search' },
      { type: 'tool-input-available', toolCallId, toolName: 'search', input: { at } },
      { type: 'tool-output-available', toolCallId, output: 'half', preliminary: true },
      { type: 'tool-output-available', toolCallId, output: at },
    ];
  });
}

function deltas(type: 'text-delta' | 'reasoning-delta', of: { id: string; at: string }): UIMessageChunk[] {
  return [`(${of.at} `, 'and ', 'more)'].map((delta) => ({ type, id: of.id, delta }));
}

interface Pass {
  /** How many chunks of what it appends are stored before it dies. */
  survives: number;
  /** How many turns it commits, beyond those that were. */
  commits: number;
}

const segment = fc.record({
  steps: fc.array(fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }), { minLength: 1, maxLength: 4 }),
  passes: fc.array(fc.record({ survives: fc.nat({ max: 60 }), commits: fc.nat({ max: 2 }) }), { maxLength: 5 }),
});

/** The sequence of an pass: turns that were committed come from the journal (deltas merged), others are new. */
function sequence(steps: number[][], versions: string[], committed: number): UIMessageChunk[] {
  return [
    { type: 'tool-approval-response', approvalId: 'a0', approved: true },
    { type: 'tool-approval-response', approvalId: 'a1', approved: false },
    { type: 'tool-output-denied', toolCallId: 'p1' },
    { type: 'tool-output-available', toolCallId: 'p0', output: 'refunded' },
    ...steps.flatMap((kinds, n): UIMessageChunk[] => {
      const body = stepBody(kinds, versions[n] ?? '');
      return [{ type: 'start-step' }, ...(n < committed ? mergeDeltas(body) : body), { type: 'finish-step' }];
    }),
    { type: 'finish', finishReason: 'stop' },
  ];
}

/** Runs a segment through its crashes: what is stored, and the turns' final versions. */
function runSegment(steps: number[][], passes: Pass[]): { stored: UIMessageChunk[]; versions: string[] } {
  const stored: UIMessageChunk[] = [];
  let versions: string[] = steps.map(() => '');
  let committed = 0;
  for (const [attempt, { survives, commits }] of [...passes, { survives: Infinity, commits: Infinity }].entries()) {
    versions = versions.map((version, n) => (n < committed ? version : `v${attempt}.${n}`));
    const appended = append(stored, sequence(steps, versions, committed));
    const reach = Math.min(steps.length, committed + commits);
    // A step ends, and the next begins, only after its turn's commit: an pass that committed `reach` turns shows no more than
    // a part of the turn after them.
    const limit = lengthUpToStep(appended, reach - recoveryPlan(stored).completedSteps);
    stored.push(...appended.slice(0, Math.min(survives, limit)));
    committed = reach;
  }
  return { stored, versions };
}

/** The number of chunks before the (n + 1)-th finish-step. */
function lengthUpToStep(chunks: UIMessageChunk[], n: number): number {
  let left = n;
  for (const [index, chunk] of chunks.entries()) {
    if (chunk.type !== 'finish-step') continue;
    if (left === 0) return index;
    left -= 1;
  }
  return chunks.length;
}

describe('any sequence of steps, cuts and re-passes', () => {
  const before = foldMessage(history);

  it('folds to the message of a run without faults', async () => {
    await fc.assert(
      fc.asyncProperty(segment, async ({ steps, passes }) => {
        const { stored, versions } = runSegment(steps, passes);
        const message = (await before) as UIMessage;
        const got = await foldMessage(stored, { message });
        const expected = await foldMessage(sequence(steps, versions, 0), { message });
        expect(got).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  it('never shows text of an abandoned turn after its reset, at any cut', async () => {
    await fc.assert(
      fc.asyncProperty(segment, fc.nat(), async ({ steps, passes }, at) => {
        const { stored } = runSegment(steps, passes);
        const cut = stored.slice(0, at % (stored.length + 1));
        const message = await foldMessage(cut, { message: (await before) as UIMessage });
        const versionsPerStep = (message?.parts ?? [])
          .map((part) => (part.type === 'step-start' ? '|' : JSON.stringify(part)))
          .join('')
          .split('|')
          .map((shown) => new Set(shown.match(/v\d+\.\d+/g)));
        for (const versions of versionsPerStep) expect(versions.size).toBeLessThanOrEqual(1);
      }),
      { numRuns: 300 },
    );
  });

  it('is a fixed point: executing once more appends nothing', () => {
    fc.assert(
      fc.property(segment, ({ steps, passes }) => {
        const { stored, versions } = runSegment(steps, passes);
        expect(append(stored, sequence(steps, versions, steps.length))).toEqual([]);
      }),
    );
  });
});
