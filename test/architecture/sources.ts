import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';

export const root: string = join(import.meta.dirname, '../..');
const src = join(root, 'src');

export interface Source {
  /** Path below src, with forward slashes: `runtime/store.ts`. */
  path: string;
  text: string;
}

/** Every TypeScript file below src. */
export function sources(): Source[] {
  return readdirSync(src, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => ({ path: relative(src, file).split(sep).join('/'), text: readFileSync(file, 'utf8') }))
    .toSorted((a, b) => a.path.localeCompare(b.path));
}

const STRING = /'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g;
const COMMENT_OR_STRING = new RegExp(`/\\*[\\s\\S]*?\\*/|//[^\\n]*|${STRING.source}|\`(?:[^\`\\\\]|\\\\.)*\``, 'g');

/** The text without comments; line numbers stay. Strings are kept, so that specifiers can be read. */
export function withoutComments(text: string): string {
  return text.replace(COMMENT_OR_STRING, (found) => (found.startsWith('/') ? found.replace(/[^\n]/g, '') : found));
}

/** The text without comments and quoted strings (template strings stay: they hold code). */
export function codeOnly(text: string): string {
  return withoutComments(text).replace(STRING, "''");
}

const SPECIFIER =
  /(?:^|[;}\n])\s*(?:import|export)\b[^;'"`]*?\bfrom\s*['"]([^'"]+)['"]|(?:^|[;}\n])\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/g;

/** What a file imports or re-exports, type imports included: paths below src for files of ours, names for packages. */
export function importsOf({ path, text }: Source): string[] {
  return [...withoutComments(text).matchAll(SPECIFIER)].map((match) => {
    const specifier = match[1] ?? match[2] ?? match[3] ?? '';
    return specifier.startsWith('.') ? posix.normalize(posix.join(dirname(path), specifier)) : specifier;
  });
}
