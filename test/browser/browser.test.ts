import type { Browser, BrowserContext } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../agent/run-kit.ts';
import { inBrowser, openStage, startBrowser } from './harness.ts';
import type { Screen, Stage } from './harness.ts';

inBrowser('a page in Chromium', () => {
  let browser: Browser;
  let stage: Stage;
  let contexts: BrowserContext[] = [];
  let threads = 0;

  beforeAll(async () => {
    [browser, stage] = await Promise.all([startBrowser(), openStage()]);
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    await stage.close();
  });
  afterEach(async () => {
    for (const context of contexts) await context.close();
    contexts = [];
  });

  const newThread = (): string => `thread-${(threads += 1)}`;
  const newContext = async (): Promise<BrowserContext> => {
    const context = await browser.newContext();
    contexts.push(context);
    return context;
  };
  const open = async (client: string, id = newThread()): Promise<{ screen: Screen; id: string }> => ({
    screen: await stage.open(await newContext(), { id, client }),
    id,
  });
  /** What is shown is what is stored, each message once. */
  const showsWhatIsStored = async (screen: Screen, id: string): Promise<string[]> => {
    await until(async () => (await stage.stored(id)).run === null);
    const { texts } = await stage.stored(id);
    await until(async () => JSON.stringify(await screen.texts()) === JSON.stringify(texts));
    return texts;
  };
  const words = (text: string | undefined): string[] => (text ?? '').split(' ').filter((word) => word !== '');
  const processesOf = (text: string | undefined): Set<string> =>
    new Set(words(text).map((word) => word.split('w')[0] ?? ''));

  describe.each(['durable', 'transport', 'stock'])('with the %s client', (client) => {
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
      await stage.kill();
      await stage.start();
      if (client === 'stock') await screen.page.reload();
      await screen.shows('w39');
      await screen.is('ready');
      const [, answer] = await showsWhatIsStored(screen, id);
      expect(words(answer)).toHaveLength(40);
      expect(processesOf(answer).size).toBe(1);
    });

    it('outlives the server, killed in mid-tool', async () => {
      const { screen, id } = await open(client);
      const amount = 900 + threads;
      await screen.send(`slow ${amount}`);
      await until(async () => (await stage.witnessed()).includes(`slow ${amount} begins`));
      await stage.kill();
      await stage.start();
      if (client === 'stock') await screen.page.reload();
      await screen.shows(`slow ${amount}`);
      await screen.shows('Result');
      await screen.is('ready');
      await showsWhatIsStored(screen, id);
      const acts = (await stage.witnessed()).filter((line) => line.startsWith(`slow ${amount} `));
      expect(acts.filter((line) => line.endsWith('ends'))).toHaveLength(1);
    });

    it('approves after a restart of the server and a reload', async () => {
      const { screen, id } = await open(client);
      const amount = 100 + threads;
      await screen.send(`refund ${amount}`);
      await screen.page.getByRole('button', { name: 'Approve' }).waitFor();
      await stage.kill();
      await stage.start();
      await screen.page.reload();
      await screen.press('Approve');
      await screen.shows('Result');
      await showsWhatIsStored(screen, id);
      expect(await stage.witnessed()).toContain(`refund ${amount} ends`);
    });

    it('denies with a reason, which the model is told', async () => {
      const { screen, id } = await open(client);
      const amount = 200 + threads;
      await screen.send(`refund ${amount}`);
      await screen.press('Deny');
      await screen.shows('too much');
      await showsWhatIsStored(screen, id);
      expect((await stage.witnessed()).filter((line) => line.startsWith(`refund ${amount} `))).toEqual([]);
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
  });

  it.each(['durable', 'transport'])('edits an amount: the tool runs with it (%s)', async (client) => {
    const { screen, id } = await open(client);
    const amount = 300 + threads;
    await screen.send(`refund ${amount}`);
    await screen.press('Edit');
    await screen.shows('Result');
    await showsWhatIsStored(screen, id);
    const acts = await stage.witnessed();
    expect(acts.filter((line) => line.startsWith(`refund ${amount} `))).toEqual([]);
    expect(acts).toContain('refund 3 ends');
  });

  it('says right after a reload that it waits', async () => {
    const { screen } = await open('durable');
    await screen.send('refund 7');
    await screen.is('waiting');
    await screen.page.reload();
    await screen.is('waiting');
    expect(await screen.page.locator('article code').allTextContents()).toEqual(['{"amount":7}']);
  });

  it('sees the decision of another tab: the card goes away by itself', async () => {
    const { screen, id } = await open('durable');
    const second = await stage.open(screen.page.context(), { id });
    await screen.send('refund 8');
    await second.press('Approve');
    for (const each of [screen, second]) {
      await each.shows('Result');
      await each.is('ready');
      expect(await each.page.locator('article').count()).toBe(0);
      await showsWhatIsStored(each, id);
    }
  });

  it('stops while it waits', async () => {
    const { screen, id } = await open('durable');
    await screen.send('refund 9');
    await screen.is('waiting');
    await screen.press('Stop');
    await screen.is('ready');
    expect(await screen.page.locator('article').count()).toBe(0);
    expect((await stage.stored(id)).run).toBeNull();
  });

  it('stops in mid-tool', async () => {
    const { screen, id } = await open('durable');
    await screen.send('slow 60000');
    await until(async () => (await stage.witnessed()).includes('slow 60000 begins'));
    await screen.press('Stop');
    await screen.is('ready');
    expect((await stage.stored(id)).run).toBeNull();
  });

  it('in eight tabs over six connections sees a new turn within a second, and stops from the eighth', async () => {
    const context = await newContext();
    const id = newThread();
    const screens: Screen[] = [];
    for (let tab = 0; tab < 8; tab += 1) screens.push(await stage.open(context, { id }));
    for (const screen of screens) await screen.is('ready');
    await screens[0]?.send('count 600 30');
    const sentAt = performance.now();
    await Promise.all(screens.map((screen) => screen.shows('w0')));
    expect(performance.now() - sentAt).toBeLessThan(1_000);
    const stoppedAt = performance.now();
    await screens[7]?.press('Stop');
    await Promise.all(screens.map((screen) => screen.is('ready')));
    expect(performance.now() - stoppedAt).toBeLessThan(1_000);
    for (const screen of screens) await showsWhatIsStored(screen, id);
  });

  it('goes on when the tab that had the connection is closed', async () => {
    const { screen: first, id } = await open('durable');
    await first.is('ready');
    const second = await stage.open(first.page.context(), { id });
    await second.is('ready');
    await second.send('count 60 30');
    await second.shows('w5');
    await first.page.close();
    await second.shows('w59');
    await second.is('ready');
    expect(words((await showsWhatIsStored(second, id))[1])).toHaveLength(60);
  });

  it('resumes once, also in StrictMode', async () => {
    const { screen, id } = await open('durable');
    await screen.send('count 60 30');
    await screen.shows('w5');
    const asked: string[] = [];
    screen.page.on('request', (request) => asked.push(new URL(request.url()).pathname));
    await screen.page.reload();
    await screen.shows('w59');
    expect(asked.filter((path) => path.startsWith('/api/'))).toEqual([`/api/chat/${id}`, `/api/threads/${id}/stream`]);
  });

  it('goes on after it was offline', async () => {
    const { screen, id } = await open('durable');
    await screen.send('count 80 30');
    await screen.shows('w5');
    await screen.page.context().setOffline(true);
    await until(async () => (await stage.stored(id)).run === null);
    await screen.page.context().setOffline(false);
    await screen.shows('w79');
    await screen.is('ready');
    await showsWhatIsStored(screen, id);
  });
});
