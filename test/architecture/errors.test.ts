import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ERROR_CODES } from '../../src/runtime/errors.ts';
import { root } from './sources.ts';

it('docs/errors.md has a heading for each error code, and no other', () => {
  const text = readFileSync(join(root, 'docs/errors.md'), 'utf8');
  const headings = [...text.matchAll(/^#{2,3} `?([a-z_]+)`?$/gm)].map((match) => match[1] ?? '');
  expect(headings.toSorted()).toEqual(ERROR_CODES.toSorted());
});
