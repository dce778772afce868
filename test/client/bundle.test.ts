import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, it } from 'vitest';

async function bundle(entry: string, external: string[]): Promise<{ bytes: number; inputs: string[] }> {
  const { outputFiles, metafile } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    conditions: ['everturn-source'],
    external,
    write: false,
    metafile: true,
  });
  const text = outputFiles[0]?.contents ?? new Uint8Array();
  return { bytes: gzipSync(text, { level: 9 }).length, inputs: Object.keys(metafile.inputs) };
}

it('everturn/client loads in a browser, with at most 8 KB', async () => {
  // A node: module fails the build for a browser.
  const { bytes, inputs } = await bundle('src/client.ts', ['ai']);
  expect(bytes).toBeGreaterThan(2_000);
  expect(bytes).toBeLessThanOrEqual(8 * 1024);
  expect(inputs.filter((path) => /src\/(server|stores|agent|app)\//.test(path))).toEqual([]);
});
