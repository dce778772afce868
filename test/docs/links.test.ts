import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../architecture/sources.ts';
import { anchors, links, page, pages } from './pages.ts';

const isOutside = (target: string): boolean => /^[a-z]+:/i.test(target);

/** What is wrong with a link of a page; undefined if it leads somewhere. */
function fault(from: string, target: string): string | undefined {
  const [path = '', anchor] = target.split('#');
  const to = path === '' ? from : posix.normalize(posix.join(dirname(from), path));
  if (!existsSync(join(root, to))) return `${target}: no such file`;
  if (anchor === undefined || !to.endsWith('.md')) return undefined;
  return anchors(page(to).text).includes(anchor) ? undefined : `${target}: no such heading`;
}

it('finds links, and headings as GitHub names them', () => {
  const text =
    '# Calls in `doubt`, and more\n## Twice\n## Twice\n[a](b.md#c) ![d](e.png) `[no](link)`\n```\n# no\n[f](g)\n```\n';
  expect(links(text)).toEqual(['b.md#c', 'e.png']);
  expect(anchors(text)).toEqual(['calls-in-doubt-and-more', 'twice', 'twice-1']);
  expect(fault('README.md', 'docs/none.md')).toBe('docs/none.md: no such file');
  expect(fault('README.md', 'docs/errors.md#none')).toBe('docs/errors.md#none: no such heading');
});

it.each(pages())('each link of $path leads somewhere', ({ path, text }) => {
  const faults = links(text).filter((target) => !isOutside(target));
  expect(faults.flatMap((target) => fault(path, target) ?? [])).toEqual([]);
});

it('README links each page of docs', () => {
  const linked = new Set(links(page('README.md').text).map((target) => target.split('#')[0]));
  const written = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
  expect(written.map((name) => `docs/${name}`).filter((path) => !linked.has(path))).toEqual([]);
});

it('architecture.md names each folder of src, and each of the agent', () => {
  const { text } = page('docs/architecture.md');
  const folders = (path: string): string[] =>
    readdirSync(join(root, path), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  const rows = [...text.matchAll(/^\| `([^`]+)`/gm)].map(([, name]) => name);
  const expected = [
    ...folders('src').map((name) => `src/${name}`),
    ...folders('src/agent').map((name) => `${name}/`),
    ...folders('src/stores').map((name) => `stores/${name}/`),
  ];
  expect(expected.filter((name) => !rows.includes(name))).toEqual([]);
});

it('each `npm run` that a page tells of is a script', () => {
  const { scripts } = JSON.parse(page('package.json').text) as { scripts: Record<string, string> };
  const told = ['README.md', 'AGENTS.md', 'docs/performance.md'].flatMap((path) =>
    [...page(path).text.matchAll(/npm run ([\w:]+)/g)].map(([, name = '']) => name),
  );
  expect(told.length).toBeGreaterThan(5);
  expect(told.filter((name) => scripts[name] === undefined)).toEqual([]);
});
