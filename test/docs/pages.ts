/** The pages of the project: what people read, with their links and their code. */
import { globSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { root } from '../architecture/sources.ts';

/** `path` is relative to the repository, with forward slashes. */
export interface DocPage {
  path: string;
  text: string;
}

export interface CodeBlock {
  language: string;
  code: string;
  /** Of the first line of the code. */
  line: number;
}

export function pages(): DocPage[] {
  return globSync(['*.md', 'docs/**/*.md', 'examples/**/*.md'], {
    cwd: root,
    exclude: (path) => path.includes('node_modules'),
  })
    .map((path) => path.split(sep).join('/'))
    .toSorted()
    .map((path) => page(path));
}

export function page(path: string): DocPage {
  return { path, text: readFileSync(join(root, path), 'utf8') };
}

const FENCED = /^```(\w*)\n([^]*?)^```$/gm;

export function codeBlocks(text: string): CodeBlock[] {
  return [...text.matchAll(FENCED)].map((found) => ({
    language: found[1] ?? '',
    code: found[2] ?? '',
    line: text.slice(0, found.index).split('\n').length + 1,
  }));
}

/** What is left when code is taken out: there brackets are no links, and hashes no headings. */
export function prose(text: string): string {
  return text.replaceAll(FENCED, '').replaceAll(/`[^`\n]+`/g, (code) => (/[[\]()]/.test(code) ? '`code`' : code));
}

/** Targets of `[text](target)`, images among them. */
export function links(text: string): string[] {
  return [...prose(text).matchAll(/\]\(([^()\s]+)\)/g)].map(([, target = '']) => target);
}

/** Anchors of headings, as GitHub makes them. */
export function anchors(text: string): string[] {
  const seen = new Map<string, number>();
  return [...text.replaceAll(FENCED, '').matchAll(/^#{1,6} (.*)$/gm)].map(([, heading = '']) => {
    const slug = heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-');
    const before = seen.get(slug) ?? 0;
    seen.set(slug, before + 1);
    return before === 0 ? slug : `${slug}-${before}`;
  });
}
