import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const here = import.meta.dirname;
const run = ['guide.test.ts', 'app/agent.ts'].map((file) => readFileSync(join(here, file), 'utf8')).join('\n');
const page = readFileSync(join(here, '../../docs/testing.md'), 'utf8');
const blocks = [...page.matchAll(/^```ts\n([^]*?)^```$/gm)].map((match) => match[1] ?? '');

it('docs/testing.md shows code', () => {
  expect(blocks.length).toBeGreaterThan(4);
});

it.each(blocks)('docs/testing.md shows code that is run: %j', (block) => {
  expect(run).toContain(block.trim());
});
