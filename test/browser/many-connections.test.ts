import { expect, it } from 'vitest';
import type { Frame } from 'playwright-core';
import { inBrowser } from './harness.ts';
import { useTheatre } from './theatre.ts';

/** A browser has six connections for one host, so it takes many names; all of them lead here. */
const HOSTS = 40;
const PER_HOST = 6;
/** The server's default for one principal. */
const LIMIT = 200;

inBrowser('a browser that opens 240 connections', () => {
  const theatre = useTheatre({ access: 'cookie', chromiumArgs: ['--host-resolver-rules=MAP *.test 127.0.0.1'] });

  const openStreams = (frame: Frame, count: number): Promise<number[]> =>
    frame.evaluate(async (count) => {
      const open = async (): Promise<number> => (await fetch('/api/threads/flood/stream')).status;
      return Promise.all(Array.from({ length: count }, open));
    }, count);

  it('gets the streams of one user and no more, and nobody else waits for it', async () => {
    const stage = theatre.stage();
    const context = await theatre.newContext();
    await context.addCookies([{ name: 'user', value: 'flood', domain: '.app.test', path: '/' }]);
    const page = await context.newPage();
    await page.goto(`http://app.test:${stage.port}/empty`);
    await page.evaluate(
      async ({ port, hosts }) => {
        const load = (host: number): Promise<unknown> => {
          const frame = document.createElement('iframe');
          frame.src = `http://h${host}.app.test:${port}/empty`;
          document.body.append(frame);
          return new Promise((resolve) => (frame.onload = resolve));
        };
        await Promise.all(Array.from({ length: hosts }, (_, host) => load(host)));
      },
      { port: stage.port, hosts: HOSTS },
    );
    const frames = page.frames().filter((frame) => frame !== page.mainFrame());
    const statuses = (await Promise.all(frames.map((frame) => openStreams(frame, PER_HOST)))).flat();
    const refused = statuses.filter((status) => status === 429);
    expect(statuses.filter((status) => status === 200)).toHaveLength(LIMIT);
    expect(refused).toHaveLength(HOSTS * PER_HOST - LIMIT);

    // Its other requests are answered; they are no streams.
    const own = await page.evaluate(async () => (await fetch('/api/runs')).status);
    expect(own).toBe(200);
    const { screen, id } = await theatre.open('durable');
    const sentAt = performance.now();
    await screen.send('count 20 20');
    await screen.answers(1);
    expect(performance.now() - sentAt).toBeLessThan(5_000);
    await screen.is('ready');
    await theatre.showsWhatIsStored(screen, id);

    await page.close();
    const again = async (): Promise<number> => {
      const response = await stage.request('/api/threads/flood/stream', { headers: { cookie: 'user=flood' } });
      await response.body?.cancel();
      return response.status;
    };
    await expect.poll(again).toBe(200);
  });
});
