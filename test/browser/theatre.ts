/** Stages and screens for tests, and what every client has to pass. */

import type { Browser, BrowserContext } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { until } from '../agent/run-kit.ts';
import { launchChromium } from './chromium.ts';
import { openStage } from './harness.ts';
import type { Screen, Stage } from './harness.ts';

export interface Theatre {
  stage(): Stage;
  newThread(): string;
  newContext(): Promise<BrowserContext>;
  /** A page of its own browser profile, on a thread of its own. */
  open(client: string): Promise<{ screen: Screen; id: string }>;
  /** Resolves with the texts when what is shown is what is stored, each message once. */
  showsWhatIsStored(screen: Screen, id: string): Promise<string[]>;
}

/** One browser and one server for the tests of a describe. */
export function useTheatre(): Theatre {
  let browser: Browser | undefined;
  let stage: Stage | undefined;
  let contexts: BrowserContext[] = [];
  let threads = 0;

  beforeAll(async () => {
    [browser, stage] = await Promise.all([launchChromium(), openStage()]);
  }, 60_000);
  afterAll(async () => {
    await Promise.all([browser?.close(), stage?.close()]);
  }, 60_000);
  afterEach(async () => {
    for (const context of contexts) await context.close();
    contexts = [];
  });

  const there = (): Stage => {
    if (stage === undefined) throw new Error('There is no stage before the first test.');
    return stage;
  };
  const newThread = (): string => `thread-${(threads += 1)}`;
  const newContext = async (): Promise<BrowserContext> => {
    if (browser === undefined) throw new Error('There is no browser before the first test.');
    const context = await browser.newContext();
    contexts.push(context);
    return context;
  };
  return {
    stage: there,
    newThread,
    newContext,
    async open(client) {
      const id = newThread();
      return { screen: await there().open(await newContext(), { id, client }), id };
    },
    async showsWhatIsStored(screen, id) {
      await until(async () => (await there().stored(id)).run === null);
      const { texts } = await there().stored(id);
      await until(async () => JSON.stringify(await screen.texts()) === JSON.stringify(texts));
      return texts;
    },
  };
}

export function words(text: string | undefined): string[] {
  return (text ?? '').split(' ').filter((word) => word !== '');
}

function processesOf(text: string | undefined): Set<string> {
  return new Set(words(text).map((word) => word.split('w')[0] ?? ''));
}

/** What no two tests have in common, so that the tools' acts can be told apart. */
let amounts = 100;

/** Sends, reloads, kills, decides and stops, with a client of this name (app/page.tsx). */
export function describeClient(client: string, theatre: Theatre): void {
  const { open, showsWhatIsStored } = theatre;
  it('shows words as they arrive', async () => {
    const { screen, id } = await open(client);
    await screen.send('count 30 30');
    const partial = await until(async () => {
      const [, answer] = await screen.texts();
      return words(answer).length > 2 && answer;
    });
    expect(words(partial).length).toBeLessThan(30);
    expect(await screen.status()).toBe('streaming');
    await screen.is('ready');
    const [, answer] = await showsWhatIsStored(screen, id);
    expect(words(answer)).toHaveLength(30);
  });

  it('is reloaded in mid-answer, and shows all of it', async () => {
    const { screen, id } = await open(client);
    await screen.send('count 40 40');
    await screen.shows('w5');
    await screen.page.reload();
    await screen.shows('w5');
    await screen.shows('w39');
    await screen.is('ready');
    expect(words((await showsWhatIsStored(screen, id))[1])).toHaveLength(40);
  });

  it('outlives the server, killed in mid-answer: no word of the dead attempt stays', async () => {
    const { screen, id } = await open(client);
    await screen.send('count 40 40');
    await screen.shows('w5');
    await theatre.stage().kill();
    await theatre.stage().start();
    if (client === 'stock') await screen.page.reload();
    await screen.shows('w39');
    await screen.is('ready');
    const [, answer] = await showsWhatIsStored(screen, id);
    expect(words(answer)).toHaveLength(40);
    expect(processesOf(answer).size).toBe(1);
  });

  it('outlives the server, killed in mid-tool', async () => {
    const { screen, id } = await open(client);
    const amount = (amounts += 1);
    await screen.send(`slow ${amount}`);
    await until(async () => (await theatre.stage().witnessed()).includes(`slow ${amount} begins`));
    await theatre.stage().kill();
    await theatre.stage().start();
    if (client === 'stock') await screen.page.reload();
    await screen.shows(`slow ${amount}`);
    await screen.shows('Result');
    await screen.is('ready');
    await showsWhatIsStored(screen, id);
    const acts = (await theatre.stage().witnessed()).filter((line) => line.startsWith(`slow ${amount} `));
    expect(acts.filter((line) => line.endsWith('ends'))).toHaveLength(1);
  });

  it('approves after a restart of the server and a reload', async () => {
    const { screen, id } = await open(client);
    const amount = (amounts += 1);
    await screen.send(`refund ${amount}`);
    await screen.page.getByRole('button', { name: 'Approve' }).waitFor();
    await theatre.stage().kill();
    await theatre.stage().start();
    await screen.page.reload();
    await screen.press('Approve');
    await screen.shows('Result');
    await showsWhatIsStored(screen, id);
    expect(await theatre.stage().witnessed()).toContain(`refund ${amount} ends`);
  });

  it('denies with a reason, which the model is told', async () => {
    const { screen, id } = await open(client);
    const amount = (amounts += 1);
    await screen.send(`refund ${amount}`);
    await screen.press('Deny');
    await screen.shows('too much');
    await showsWhatIsStored(screen, id);
    expect((await theatre.stage().witnessed()).filter((line) => line.startsWith(`refund ${amount} `))).toEqual([]);
  });

  it('stops in mid-answer; a reload shows the same, and the next message works', async () => {
    const { screen, id } = await open(client);
    await screen.send('count 400 30');
    await screen.shows('w5');
    await screen.press('Stop');
    await screen.is('ready');
    const before = await showsWhatIsStored(screen, id);
    expect(words(before[1]).length).toBeLessThan(200);
    await screen.page.reload();
    await screen.is('ready');
    expect(await showsWhatIsStored(screen, id)).toEqual(before);
    await screen.send('hello');
    await screen.shows('You said: hello');
    expect(await showsWhatIsStored(screen, id)).toEqual([...before, 'hello', 'You said: hello']);
  });

  if (client === 'stock') return;
  it('edits an amount: the tool runs with it', async () => {
    const { screen, id } = await open(client);
    const amount = (amounts += 1);
    await screen.send(`refund ${amount}`);
    await screen.press('Edit');
    await screen.shows('Result');
    await showsWhatIsStored(screen, id);
    const acts = await theatre.stage().witnessed();
    expect(acts.filter((line) => line.startsWith(`refund ${amount} `))).toEqual([]);
    expect(acts).toContain('refund 3 ends');
  });
}
