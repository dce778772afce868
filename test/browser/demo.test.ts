import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { ChatPage, marksOf, PROMPT, wordsOf } from './chat-page.ts';
import { launchChromium, noChromium } from './chromium.ts';
import { startDemo } from './demo-process.ts';
import type { Demo } from './demo-process.ts';
import { describeUnless } from '../support/describe-unless.ts';

describeUnless(
  noChromium,
  'the page in Chromium',
  () => {
    let demo: Demo;
    let browser: Browser;
    let context: BrowserContext;
    let chats = 0;
    let chat = '';
    let errors: string[] = [];

    beforeAll(async () => {
      [demo, browser] = await Promise.all([startDemo({ pacingMs: 15 }), launchChromium()]);
    }, 60_000);

    afterAll(async () => {
      await Promise.all([demo?.stop(), browser?.close()]);
    });

    beforeEach(async () => {
      errors = [];
      chats += 1;
      chat = `chat-${chats}`;
      context = await browser.newContext();
      context.setDefaultTimeout(30_000);
      context.on('weberror', (error) => errors.push(error.error().message));
    });

    afterEach(async () => {
      await context.close();
      expect(errors).toEqual([]);
    });

    const open = (): Promise<ChatPage> => ChatPage.open(context, { url: demo.url, chat });

    /** The page's words are those of the server's stream, and nothing stands twice. */
    async function expectSameText(tab: ChatPage): Promise<void> {
      const [shown, stored] = [await tab.answers(), await demo.answers(chat)];
      expect(shown.map(wordsOf)).toEqual(stored.map(wordsOf));
      expect(Math.max(...shown.flatMap(marksOf))).toBe(3);
    }

    it('shows tokens as they come, goes on after a reload in mid-stream, and asks for an approval', async () => {
      const tab = await open();
      await tab.send(PROMPT);
      await tab.untilWriting(120);
      const early = await tab.answer();
      await tab.untilWriting(early.length + 40);
      await tab.page.reload();
      await tab.untilWriting(early.length);
      await tab.untilApproval();
      expect(wordsOf(await tab.answer()).length).toBeGreaterThan(wordsOf(early).length);
      await expectSameText(tab);
      expect((await demo.state()).shop.refunds).toEqual([]);

      await tab.page.locator('.amount input').fill('60');
      await tab.click('Approve 60.00 EUR');
      await tab.untilStatus('ready');
      expect(await tab.answer()).toContain('60.00 EUR for the kettle');
      expect(await tab.page.locator('[data-tool=refund]').innerText()).toContain('approved, done');
      expect((await demo.state()).shop.refunds).toMatchObject([{ orderId: 1042, amount: 60 }]);
      await expectSameText(tab);
    });

    it('goes on where it was when the server is killed in mid-answer, and takes the approval from a second tab', async () => {
      const tab = await open();
      const before = (await demo.state()).shop.refunds.length;
      await tab.send(PROMPT);
      await tab.untilWriting(150);
      await tab.click(/^Kill/);
      await tab.page.getByText('The server is gone.', { exact: false }).first().waitFor();
      await tab.untilApproval();
      await expectSameText(tab);

      await tab.page.locator('.journal .is-waiting').waitFor();
      await tab.page.locator('.journal .again').first().waitFor();
      const waiting = await tab.panel();
      expect(waiting.state).toBe('waits for a person');
      expect(waiting.rows).toContainEqual(expect.stringMatching(/^Server lost, run taken over/));
      expect(waiting.rows).toContainEqual(expect.stringMatching(/^Turn \d attempt 2 \d+ tokens$/));
      expect(waiting.rows.at(-1)).toBe('refund waits for a person');
      const done = waiting.rows.filter((row) => row.endsWith(' tokens'));
      expect(waiting.figures['turns']).toBe(done.length);
      expect(waiting.figures['tools']).toBe(waiting.rows.filter((row) => /^[a-z]/.test(row)).length - 1);
      const tokens = done.map((row) => Number(/(\d+) tokens$/.exec(row)?.[1]));
      expect(Math.min(...tokens)).toBeGreaterThan(0);
      expect(waiting.figures['tokens']).toBe(tokens.reduce((sum, each) => sum + each, 0));
      const tries = (waiting.figures['turns'] ?? 0) + (waiting.figures['tools'] ?? 0);
      expect(waiting.figures['attempts']).toBeGreaterThan(tries);

      await demo.killServer();
      const other = await open();
      await other.untilApproval();
      await other.click('Approve');
      await Promise.all([tab.untilStatus('ready'), other.untilStatus('ready')]);
      expect(await tab.page.locator('.approval').count()).toBe(0);
      expect(await tab.answers()).toEqual(await other.answers());
      await expectSameText(tab);
      const { shop } = await demo.state();
      expect(shop.refunds.slice(before)).toMatchObject([{ orderId: 1042, amount: 89 }]);
    });

    it('tells the agent why a refund is denied', async () => {
      const tab = await open();
      const before = (await demo.state()).shop.refunds.length;
      await tab.send(PROMPT);
      await tab.untilApproval();
      await tab.click('Deny');
      // Back by keyboard, and again: the focus stays in the card.
      await tab.page.keyboard.press('Escape');
      await tab.page.keyboard.press('Enter');
      await tab.page.keyboard.type('The guarantee has ended.');
      await tab.page.keyboard.press('Enter');
      await tab.untilStatus('ready');
      expect(await tab.page.locator('[data-tool=refund]').innerText()).toContain('denied: The guarantee has ended.');
      expect(await tab.answer()).toContain('was not approved');
      expect((await demo.state()).shop.refunds).toHaveLength(before);
      await expectSameText(tab);
    });

    it('stops in mid-token, stays stopped after a reload, and answers the next message', async () => {
      const tab = await open();
      const other = await open();
      await tab.send(PROMPT);
      await other.untilWriting(120);
      await other.click('Stop');
      await Promise.all([tab.untilStatus('ready'), other.untilStatus('ready')]);
      const partial = await tab.answer();
      expect(partial).not.toContain('with the result');
      await expectSameTextOnce(tab, partial);
      await tab.page.reload();
      await tab.page.locator('.is-agent').waitFor();
      await tab.untilStatus('ready');
      await expectSameTextOnce(tab, partial);

      await tab.send('Thank you.');
      await tab.page.locator('.is-agent').nth(1).waitFor();
      await tab.untilStatus('ready');
      expect(await tab.answer()).toMatch(/You said: .*Thank you\./);
    });

    async function expectSameTextOnce(tab: ChatPage, partial: string): Promise<void> {
      expect(wordsOf(await tab.answer())).toBe(wordsOf(partial));
      expect((await demo.answers(chat)).map(wordsOf)).toEqual([wordsOf(partial)]);
    }

    it('is dark where the person likes it so', async () => {
      const shades = async (page: Page): Promise<number[]> => {
        await page.locator('.suggestions').waitFor();
        const colours = await page.evaluate(() => {
          const { backgroundColor, color } = getComputedStyle(document.body);
          return [backgroundColor, color];
        });
        return colours.map((colour) => Math.max(...(colour.match(/\d+/g) ?? []).slice(0, 3).map(Number)));
      };
      const [paper = 0, ink = 0] = await shades((await open()).page);
      expect(paper).toBeGreaterThan(200);
      expect(ink).toBeLessThan(80);
      const night = await browser.newContext({ colorScheme: 'dark' });
      try {
        const [dark = 255, light = 0] = await shades((await ChatPage.open(night, { url: demo.url, chat })).page);
        expect(dark).toBeLessThan(60);
        expect(light).toBeGreaterThan(200);
      } finally {
        await night.close();
      }
    });

    it('works on a phone, by keyboard, and has a name for everything that can be used', async () => {
      const tab = await open();
      await tab.page.setViewportSize({ width: 390, height: 844 });
      await tab.page.locator('.suggestions').waitFor();
      const width = await tab.page.evaluate(() => document.documentElement.scrollWidth);
      expect(width).toBeLessThanOrEqual(390);
      const unnamed = await tab.page.evaluate(() =>
        [...document.querySelectorAll<HTMLElement>('button, input, textarea')]
          .filter((each) => each.innerText.trim() === '' && (each as HTMLInputElement).labels?.length !== 1)
          .map((each) => each.outerHTML),
      );
      expect(unnamed).toEqual([]);
      await tab.page.keyboard.press('Tab');
      expect(await tab.page.evaluate(() => document.activeElement?.textContent)).toBe('Skip to the message');
      await tab.page.keyboard.press('Enter');
      await tab.page.keyboard.type('Hello');
      await tab.page.keyboard.press('Enter');
      await tab.page.locator('.is-agent').waitFor();
      await tab.untilStatus('ready');
      const said = await tab.page.locator('p[role=status]').textContent();
      expect(said).toContain('The agent said: ');
    });
  },
  { timeout: 60_000 },
);
