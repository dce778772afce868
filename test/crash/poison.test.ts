import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startModelServer } from '../../examples/model-server/server.ts';
import type { ModelServer } from '../../examples/model-server/server.ts';
import { startChild } from '../support/child.ts';
import { startWitness } from '../support/witness.ts';
import type { Witness } from '../support/witness.ts';
import type { PoisonMessage, PoisonOptions } from './poison-process.ts';

const HEALTHY = 20;
/** A supervisor that gives up is of no use to a poisoned run; this is far more than it needs. */
const MOST_LIVES = 20;

const folder = mkdtempSync(join(tmpdir(), 'everturn-poison-'));
let witness: Witness;
let model: ModelServer;
beforeAll(async () => {
  witness = await startWitness();
  model = await startModelServer();
});
afterAll(async () => {
  await Promise.all([witness.close(), model.close()]);
  rmSync(folder, { recursive: true });
});

async function supervise(task: PoisonOptions): Promise<{ lives: number; message: PoisonMessage }> {
  for (let lives = 1; lives <= MOST_LIVES; lives += 1) {
    const child = startChild<PoisonMessage>(new URL('poison-process.ts', import.meta.url), task);
    const { code, signal } = await child.ended;
    const [message] = child.messages;
    if (code === 0 && message !== undefined) return { lives, message };
    expect(signal).toBe('SIGKILL');
  }
  throw new Error(`Nothing came to an end in ${MOST_LIVES} lives.`);
}

describe('a tool that kills its process beside healthy runs', () => {
  it('is parked with its name, the others end, and after a fix it goes on', async () => {
    const file = join(folder, 'runs.db');
    const task = { file, modelUrl: model.baseURL, witnessUrl: witness.url, healthy: HEALTHY, cured: false };
    const { lives, message } = await supervise(task);
    console.log(`the process lived ${lives} times`);
    const expected = Array.from({ length: HEALTHY }, (_, n) =>
      n % 2 === 0 ? 6 * n : expect.stringContaining('All is well.'),
    );
    expect(message.healthy).toEqual(expected);
    expect(message.poisoned).toMatchObject({
      status: 'parked',
      message: expect.stringContaining('explode'),
      parked: { code: 'crash_loop', suspects: [expect.stringContaining('explode')] },
    });
    const logged = message.poisoned.status === 'parked' ? message.poisoned.logged : [];
    expect(logged).toMatchObject([
      { code: 'crash_loop', run: 'poisoned', suspects: [expect.stringContaining('explode')] },
    ]);
    const explosions = witness.records().map(({ attempt }) => attempt);
    expect(explosions).toEqual(explosions.map((_, index) => index + 1));
    expect(explosions.length).toBe(lives - 1);

    const cured = await supervise({ ...task, cured: true });
    expect(cured.lives).toBe(1);
    expect(cured.message.poisoned).toMatchObject({
      status: 'completed',
      text: expect.stringContaining('It did not go off.'),
    });
    expect(witness.records().map(({ attempt }) => attempt)).toEqual([...explosions, explosions.length + 1]);
    expect(new Set(witness.records().map(({ key }) => key)).size).toBe(1);
  }, 120_000);
});
