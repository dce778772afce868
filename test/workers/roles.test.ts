import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, it } from 'vitest';
import { checkRoles } from './roles.ts';

const folder = mkdtempSync(join(tmpdir(), 'everturn-roles-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('a run that one process starts, another works on, a third reads and a fourth approves', () => {
  it('has one effect and one end on a SQLite file, and its stopped holder writes nothing more', async () => {
    await checkRoles(`sqlite:${join(folder, 'runs.db')}`);
  }, 60_000);
});
