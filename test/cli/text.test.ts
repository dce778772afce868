import { describe, expect, it } from 'vitest';
import { dueText, reasonOf } from '../../src/cli/run-words.ts';
import { parseStoreUrl } from '../../src/cli/store-url.ts';
import { relativeText, spanText } from '../../src/cli/relative-time.ts';
import { tableLines } from '../../src/cli/table.ts';
import { briefValue, fit, printable, shellWord, widthOf, wrapped } from '../../src/cli/text.ts';
import type { RunInfo, RunStatus } from 'everturn';

describe('text for a terminal', () => {
  it('shows what a terminal would act upon as escapes', () => {
    expect(printable('a\u001b[2Jb\nc\u009bd\u202ee\u2028')).toBe(String.raw`a\x1b[2Jb\nc\x9bd\u202ee\u2028`);
  });

  it('is as wide as it is shown', () => {
    expect([widthOf('abc'), widthOf('日本'), widthOf('e\u0301'), widthOf('👩‍👩‍👧')]).toEqual([3, 4, 1, 2]);
    expect(fit('日本語', 5)).toBe('日本…');
    expect(fit('日本語', 6)).toBe('日本語');
  });

  it('is wrapped between words, and nothing of it is lost', () => {
    expect(wrapped('one two three', 8)).toEqual(['one two', 'three']);
    const long = 'x'.repeat(25);
    expect(wrapped(long, 10).join('')).toBe(long);
    expect(Math.max(...wrapped(`${long} and more words`, 10).map(widthOf))).toBeLessThanOrEqual(10);
  });

  it('holds values as JSON where JSON has them, else as Node shows them', () => {
    expect(briefValue({ amount: 20, tags: ['a'], none: null })).toBe('{"amount":20,"tags":["a"],"none":null}');
    expect(briefValue({ at: new Date(0), seen: new Set([1]) })).toBe(
      '{ at: 1970-01-01T00:00:00.000Z, seen: Set(1) { 1 } }',
    );
    expect(briefValue(new TypeError('no'))).toBe('TypeError: no');
    expect([briefValue(undefined), briefValue(5n)]).toEqual(['undefined', '5n']);
  });

  it('quotes for a shell what a shell would split or expand', () => {
    expect(shellWord('run_01ABC~5')).toBe("'run_01ABC~5'");
    expect(['apr_1', 'chat/7:2', 'a b', "it's", '$HOME', ''].map(shellWord)).toEqual([
      'apr_1',
      'chat/7:2',
      "'a b'",
      String.raw`'it'\''s'`,
      "'$HOME'",
      "''",
    ]);
  });
});

describe('times', () => {
  it.each([
    [0, '0 ms'],
    [999, '999 ms'],
    [1_500, '1.5 s'],
    [9_960, '10 s'],
    [90_000, '90 s'],
    [120_000, '2 min'],
    [7_200_000, '2 h'],
    [172_800_000, '2 days'],
    [-5, '0 ms'],
  ])('%d ms are %s', (ms, text) => expect(spanText(ms)).toBe(text));

  it('are seen from now', () => {
    const now = 1_000_000_000;
    expect([-500, -1_000, -7_200_000, 5_000, 3_600_000].map((ms) => relativeText(now + ms, now))).toEqual([
      'now',
      '1 s ago',
      '2 h ago',
      'in 5 s',
      'in 60 min',
    ]);
  });
});

describe('the due time of a run', () => {
  const now = 1_000_000_000;
  const textAt = (status: RunStatus, dueAt: number | null, waitsForWorker: string | null = null): string =>
    dueText({ status, dueAt, blockedBy: null, waitsForWorker } as RunInfo, now);

  it('says that a worker is gone once its lease has ended', () => {
    expect(textAt('running', now - 60_000)).toBe('its worker is gone: the lease ended 60 s ago');
    expect(textAt('running', now + 5_000)).toBe('');
  });

  it('says that nobody takes a run that has been due for a while', () => {
    const late = 'and no worker that executes support@* takes it';
    expect(textAt('ready', now - 60_000, 'support@*')).toBe(`due 60 s ago, ${late}`);
    expect(textAt('running', now - 60_000, 'support@*')).toBe(`its worker is gone: the lease ended 60 s ago, ${late}`);
    expect([textAt('ready', now - 1_000), textAt('waiting', now + 1), textAt('completed', null)]).toEqual(['', '', '']);
  });

  it('says so of a run whose sleep has ended too, in place of the sleep', () => {
    const until = now - 60_000;
    const asleep = {
      parked: null,
      status: 'waiting',
      cancelRequested: false,
      dueAt: until,
      blockedBy: null,
    } as RunInfo;
    const reason = (waitsForWorker: string | null): string =>
      reasonOf({ ...asleep, waitsForWorker }, [{ kind: 'sleep', until }], now);
    expect(reason('nap@1')).toBe('due 60 s ago, and no worker that executes nap@1 takes it');
    expect(reason(null)).toBe('sleep, due 60 s ago');
  });
});

describe('a table', () => {
  const plain = { width: 40, paint: (_: string, text: string) => text };
  const columns = [
    { title: 'ID', isWhole: true },
    { title: 'N', align: 'right' as const },
    { title: 'NONE' },
    { title: 'TEXT' },
  ];

  it('is aligned, leaves empty columns out, and cuts the widest column so that it fits', () => {
    const rows = [
      ['run_1', '7', '', 'a text that is much too long for so few columns'],
      ['run_100', '10', '', '日本'],
    ];
    expect(tableLines(columns, rows, plain)).toEqual([
      'ID        N  TEXT',
      'run_1     7  a text that is much too lo…',
      'run_100  10  日本',
    ]);
  });

  it('never cuts an id', () => {
    const id = 'r'.repeat(60);
    expect(tableLines(columns, [[id, '1', '', 'a longer text']], plain)[1]).toContain(`${id}  1  a long…`);
  });
});

describe("a store's URL", () => {
  it.each([
    ['app.db', 'app.db'],
    ['sqlite:app.db', 'app.db'],
    ['sqlite:///var/app.db', '/var/app.db'],
    ['SQLITE:/var/app.db', '/var/app.db'],
    [String.raw`C:\data\app.db`, String.raw`C:\data\app.db`],
    ['./odd:name.db', './odd:name.db'],
  ])('%s is the file %s', (url, path) => expect(parseStoreUrl(url)).toEqual({ scheme: 'sqlite', path }));
});
