import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { inBrowser } from '../browser/harness.ts';
import type { Screen } from '../browser/screen.ts';
import { useTheatre, words } from '../browser/theatre.ts';

inBrowser('one session in Chromium', () => {
  const theatre = useTheatre();

  const freeze = async ({ page }: Screen, state: 'frozen' | 'active'): Promise<void> => {
    const session = await page.context().newCDPSession(page);
    await session.send('Page.setWebLifecycleState', { state });
  };

  it.each(['durable', 'transport'])(
    'of a page that is frozen for 60 s, offline for 30 s and sees the server die (%s)',
    async (client) => {
      const { screen, id } = await theatre.open(client);
      await screen.send('count 3000 50');
      await screen.shows('w5');
      await freeze(screen, 'frozen');
      await delay(60_000);
      await freeze(screen, 'active');
      await screen.shows('w1100');
      await screen.page.context().setOffline(true);
      await delay(30_000);
      await screen.page.context().setOffline(false);
      await screen.shows('w1700');
      await theatre.stage().kill();
      await theatre.stage().start();
      // The answer is said again, from its beginning.
      const said = async (): Promise<number> => words((await screen.texts())[1]).length;
      await expect.poll(said, { timeout: 30_000 }).toBeLessThan(1_000);
      await expect.poll(said, { timeout: 30_000 }).toBeGreaterThan(10);
      await screen.press('Stop');
      await screen.is('ready');
      const [, answer] = await theatre.showsWhatIsStored(screen, id);
      expect(words(answer).length).toBeGreaterThan(10);
      await screen.send('hello');
      await screen.shows('You said: hello');
      await theatre.showsWhatIsStored(screen, id);
    },
    400_000,
  );

  it('goes on in a second tab when the one with the connection is frozen', async () => {
    const { screen: first, id } = await theatre.open('durable');
    await first.is('ready');
    await expect.poll(() => first.page.evaluate(() => navigator.locks.query())).toMatchObject({ held: [{}] });
    const second = await theatre.stage().open(first.page.context(), { id });
    await second.is('ready');
    await freeze(first, 'frozen');
    await second.send('count 100 30');
    await second.shows('w99');
    await second.is('ready');
    await freeze(first, 'active');
    await first.shows('w99');
    for (const screen of [first, second]) await theatre.showsWhatIsStored(screen, id);
  }, 120_000);
});
