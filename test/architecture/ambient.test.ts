import { expect, it } from 'vitest';
import { codeOnly, sources } from './sources.ts';

/** Where time, timers, ids and randomness enter; everything else gets them from a `Clock` or from `Ids`. */
const SOURCES_OF_CHANCE = ['runtime/clock.ts', 'runtime/ids.ts'];

const AMBIENT = new RegExp(
  [
    String.raw`\bDate\.now\b`,
    String.raw`\bnew\s+Date\(\s*\)`,
    String.raw`\bMath\.random\b`,
    String.raw`\bcrypto\.(?:randomUUID|getRandomValues)\b`,
    String.raw`\bperformance\.now\b`,
    String.raw`\bprocess\.hrtime\b`,
    String.raw`\bAbortSignal\.timeout\b`,
    String.raw`(?<![.\w])(?:globalThis\.)?(?:setTimeout|setInterval|setImmediate)\b`,
  ].join('|'),
);

function ambientUses(text: string): string[] {
  return codeOnly(text)
    .split('\n')
    .flatMap((line, index) => (AMBIENT.test(line) ? [`${index + 1}: ${line.trim()}`] : []));
}

it('time and chance are recognized in code, and not in comments and strings', () => {
  expect(ambientUses("const at = Date.now();\n// Date.now()\nconst id = 'Math.random()';")).toEqual([
    '1: const at = Date.now();',
  ]);
  expect(ambientUses('globalThis.setTimeout(run, 5);')).toHaveLength(1);
  expect(ambientUses('const date = new Date(at);')).toEqual([]);
});

it.each(sources().filter(({ path }) => !SOURCES_OF_CHANCE.includes(path)))(
  '$path takes time, timers, ids and randomness from outside',
  ({ text }) => {
    expect(ambientUses(text)).toEqual([]);
  },
);
