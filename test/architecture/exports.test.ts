import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root, sources, withoutComments } from './sources.ts';

const manifest: { exports: Record<string, unknown> } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const { './package.json': _, ...exported } = manifest.exports;
const entries = sources().filter(({ path }) => !path.includes('/'));

const NAMED_EXPORTS = /\s*export\s+(?:type\s+)?\{[^}*]*\}\s*from\s*'[^']+';/g;

describe('the public surface', () => {
  it('is exactly the entries in src', () => {
    const expected = entries.map(({ path }) => (path === 'index.ts' ? '.' : `./${path.slice(0, -'.ts'.length)}`));
    expect(Object.keys(exported).toSorted()).toEqual(expected.toSorted());
  });

  it.each(Object.entries(exported))(
    '%s offers its source, its types and its code, in this order',
    (name, conditions) => {
      const file = name === '.' ? 'index' : name.slice('./'.length);
      expect(Object.entries(conditions ?? {})).toEqual([
        ['everturn-source', `./src/${file}.ts`],
        ['types', `./dist/${file}.d.ts`],
        ['default', `./dist/${file}.js`],
      ]);
    },
  );

  it.each(entries)('$path holds named re-exports and nothing else', ({ text }) => {
    expect(withoutComments(text).replace(NAMED_EXPORTS, '').trim()).toBe('');
  });
});
