/** Makes the page: one script, one style sheet, one document. */
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

export async function bundlePage(directory: string): Promise<void> {
  const page = fileURLToPath(new URL('page/', import.meta.url));
  await mkdir(directory, { recursive: true });
  await build({
    entryPoints: [join(page, 'main.tsx'), join(page, 'styles.css')],
    outdir: directory,
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    jsx: 'automatic',
    // The sources of everturn stand beside this example; an app of your own needs no condition.
    conditions: ['everturn-source'],
    define: { 'process.env.NODE_ENV': '"production"' },
    logLevel: 'warning',
  });
  await copyFile(join(page, 'index.html'), join(directory, 'index.html'));
}
