import { DurableAgent } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { scriptedModel, userTexts } from '../agent/run-kit.ts';
import { chunksOf, overBothWays, refusalOf, say, textOf } from './kit.ts';

const HUNDRED = Array.from({ length: 100 }, (_, index) => index);
const sqlite = (): ReturnType<typeof sqliteStore> =>
  sqliteStore(join(mkdtempSync(join(tmpdir(), 'everturn-')), 'app.db'));

overBothWays('a hundred sends to one thread at once', (open) => {
  it('have one winner and 99 typed conflicts', async () => {
    let release = (): void => {};
    const hold = new Promise<void>((resolve) => (release = resolve));
    const { model, prompts } = scriptedModel([{ text: 'Answer', hold }]);
    const site = await open({ store: sqlite(), agents: { support: new DurableAgent({ model }) } });
    const responses = await Promise.all(HUNDRED.map((index) => say(site, { id: `m${index}`, text: `say ${index}` })));
    release();
    const winners = responses.filter(({ status }) => status === 200);
    expect(winners).toHaveLength(1);
    const active = winners[0]?.headers.get('x-workflow-run-id')?.split('~')[0];
    for (const response of responses) {
      if (response.status === 200) expect(textOf(await chunksOf(response))).toBe('Answer');
      else {
        expect(await refusalOf(response)).toMatchObject({
          status: 409,
          code: 'thread_busy',
          details: { thread: 't1', active },
        });
      }
    }
    expect(prompts).toHaveLength(1);
    expect((await site.runtime.list({ limit: 500 })).items).toHaveLength(1);
  });

  it('are answered one after the other, each once and in the order of their arrival, if they ask to be queued', async () => {
    const { model, prompts } = scriptedModel(HUNDRED.map((index) => ({ text: `answer ${index}` })));
    const site = await open({ store: sqlite(), agents: { support: new DurableAgent({ model }) } });
    const responses = await Promise.all(
      HUNDRED.map((index) => say(site, { id: `m${index}`, text: `say ${index}`, whenBusy: 'queue' })),
    );
    const texts = await Promise.all(responses.map(async (response) => textOf(await chunksOf(response))));
    expect(responses.every(({ status }) => status === 200)).toBe(true);
    const order = (await site.runtime.list({ limit: 500 })).items.toReversed().map(({ id }) => id);
    const answers = new Map(
      responses.map((response, index) => [response.headers.get('x-workflow-run-id')?.split('~')[0], texts[index]]),
    );
    expect(order.map((id) => answers.get(id))).toEqual(HUNDRED.map((index) => `answer ${index}`));
    expect(prompts).toHaveLength(100);
    expect(new Set(prompts.map((prompt) => userTexts(prompt).at(-1))).size).toBe(100);
  }, 60_000);

  it('of the same message are one run', async () => {
    const { model, prompts } = scriptedModel([{ text: 'Once' }]);
    const site = await open({ store: sqlite(), agents: { support: new DurableAgent({ model }) } });
    const responses = await Promise.all(HUNDRED.map(() => say(site)));
    const all = await Promise.all(responses.map(chunksOf));
    expect(new Set(all.map((chunks) => JSON.stringify(chunks))).size).toBe(1);
    expect(prompts).toHaveLength(1);
  });
});
