import { setTimeout as delay } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { inBrowser } from '../browser/harness.ts';
import { useTheatre, words } from '../browser/theatre.ts';
import { openCuttingProxy } from './cutting-proxy.ts';
import type { CuttingProxy } from './cutting-proxy.ts';

const CUT_MS = 25_000;

inBrowser('behind a proxy that cuts each response at 25 s', () => {
  const theatre = useTheatre({ access: 'cookie' });
  let proxy: CuttingProxy;
  beforeAll(async () => {
    proxy = await openCuttingProxy(theatre.stage().url, { afterMs: CUT_MS });
  });
  afterAll(() => proxy?.close());

  const holdSession = async (client: string): Promise<void> => {
    const { screen, id } = await theatre.open(client, { url: proxy.url });
    screen.page.setDefaultTimeout(200_000);
    await screen.is('ready');
    const statuses = await watchStatuses(screen.page);
    await screen.send('count 1000 100');
    await screen.shows('w999');
    await screen.is('ready');
    const [, answer] = await theatre.showsWhatIsStored(screen, id);
    expect(words(answer)).toHaveLength(1000);
    const ofAnswer = cutsOf(id, client);
    expect(ofAnswer).toBeGreaterThanOrEqual(3);

    // What reads on while nothing goes on is cut as well.
    await delay(2.5 * CUT_MS);
    if (client === 'durable') expect(cutsOf(id, client)).toBeGreaterThanOrEqual(ofAnswer + 2);
    await screen.send('hello');
    await screen.shows('You said: hello');
    await screen.is('ready');
    await theatre.showsWhatIsStored(screen, id);
    expect(new Set(await statuses())).toEqual(new Set(['ready', 'submitted', 'streaming']));
  };

  it('a long answer is one answer, an idle page stays well, and the next message is answered', async () => {
    await Promise.all(['durable', 'transport'].map(holdSession));
  }, 400_000);

  /** Of streams; the transport's first one is its POST, later ones are those of the run. */
  const cutsOf = (thread: string, client: string): number =>
    proxy.cuts.filter((path) => (client === 'durable' ? path.includes(`/threads/${thread}/`) : /\/chat/.test(path)))
      .length;
});

/** Every status that the page had, from now on. */
async function watchStatuses(page: Page): Promise<() => Promise<string[]>> {
  await page.evaluate(() => {
    const main = document.querySelector('main');
    if (main === null) throw new Error('The page has not begun.');
    const statuses = [main.getAttribute('data-status') ?? ''];
    const observer = new MutationObserver(() => statuses.push(main.getAttribute('data-status') ?? ''));
    observer.observe(main, { attributes: true });
    Object.assign(globalThis, { statuses });
  });
  return () => page.evaluate(() => (globalThis as unknown as { statuses: string[] }).statuses);
}
