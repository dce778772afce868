/** Bringing a database up to this release, as a deployment's own step. */

import type { Report } from './report.ts';
import { parseStoreUrl } from './store-url.ts';
import { usageError } from './usage.ts';

/** Throws a usage error for a store that needs no such step. */
export async function migrate(url: string | undefined): Promise<Report> {
  const location = parseStoreUrl(url);
  if (location.scheme !== 'postgres') {
    throw usageError('files are brought up to date when they are opened: `migrate` is for postgres:// URLs.');
  }
  const { scheme: _, ...options } = location;
  const { migratePostgres } = await import('../postgres.ts');
  const { from, to } = await migratePostgres(options);
  const schema = options.schema ?? 'everturn';
  const name = `The schema "${schema}"`;
  const text = from === to ? `${name} is at ${to}: there was nothing to do.` : `${name} went from ${from} to ${to}.`;
  return { json: { schema, from, to }, lines: () => [text] };
}
