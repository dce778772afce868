import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startModelServer } from '../../examples/model-server/server.ts';
import type { ModelServer } from '../../examples/model-server/server.ts';

const EXAMPLE = fileURLToPath(new URL('../../examples/approval.ts', import.meta.url));
const CLI = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

let model: ModelServer;
let cwd: string;
beforeAll(async () => {
  model = await startModelServer({ pacingMs: 0 });
  cwd = mkdtempSync(join(tmpdir(), 'everturn-approval-'));
});
afterAll(() => model.close());

async function run(file: string, ...args: string[]): Promise<string> {
  const env = { ...process.env, OPENAI_BASE_URL: model.baseURL, OPENAI_API_KEY: 'local' };
  const { stdout } = await promisify(execFile)(process.execPath, ['--conditions=everturn-source', file, ...args], {
    cwd,
    env,
  });
  return stdout;
}

describe('examples/approval.ts', { timeout: 60_000 }, () => {
  it('has about 40 lines', () => {
    expect(readFileSync(EXAMPLE, 'utf8').trimEnd().split('\n').length).toBeLessThanOrEqual(45);
  });

  it('asks in one process, and pays in another what was approved there', async () => {
    expect(await run(EXAMPLE)).toMatch(/^The run run_\w+ is waiting\./);
    const requests = model.log.length;
    const approved = await run(EXAMPLE, 'approve', '20');
    expect(approved).toMatch(/^apr_\w+ wants to pay \{"to":"Ada","euros":89\}\napr_\w+ is approved with 20 euros\./);
    expect(approved).toContain('Paid 20 euros to Ada.');
    expect(model.log.length).toBe(requests + 1);
    expect(await run(EXAMPLE, 'approve', '20')).toBe('');
  });

  it('refuses an amount that the tool does not take, and goes on waiting', async () => {
    await run(EXAMPLE);
    await expect(run(EXAMPLE, 'approve', '-5')).rejects.toThrow(/payload_invalid/);
    expect(await run(CLI, 'inspect', 'approvals', '--store', 'approval.db')).toMatch(
      /pending +pay .*\n +\{"to":"Ada","euros":89\}/,
    );
  });
});
