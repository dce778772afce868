import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { ChatPage, PROMPT, wordsOf } from './chat-page.ts';
import { launchChromium, noChromium } from './chromium.ts';
import { startDemo } from './demo-process.ts';
import type { Demo } from './demo-process.ts';
import { describeUnless } from '../support/describe-unless.ts';

describeUnless(
  noChromium,
  'the demo in Chromium',
  () => {
    let demo: Demo;
    let browser: Browser;
    let context: BrowserContext;
    let chats = 0;
    let errors: string[] = [];
    /** Nobody answers here: its approval expires while the other tests run. */
    let late: ChatPage;

    const open = (): Promise<ChatPage> => {
      chats += 1;
      return ChatPage.open(context, { url: demo.url, chat: `people-${chats}` });
    };

    /** As somebody does it who begins with what the page suggests. */
    async function suggested(label: RegExp): Promise<ChatPage> {
      const tab = await open();
      await tab.page.getByRole('button', { name: label }).click();
      return tab;
    }

    beforeAll(async () => {
      [demo, browser] = await Promise.all([startDemo({ pacingMs: 2 }), launchChromium()]);
      context = await browser.newContext();
      context.setDefaultTimeout(30_000);
      context.on('weberror', (error) => errors.push(error.error().message));
      late = await suggested(/^An approval that expires/);
      await late.untilApproval();
      expect(await late.page.locator('.time-left').innerText()).toMatch(/^0:\d\d left$/);
    }, 60_000);

    afterAll(async () => {
      await Promise.all([demo?.stop(), browser?.close()]);
    });

    beforeEach(() => {
      errors = [];
    });

    afterEach(async () => {
      // A browser has six connections to one origin, and each thread's page keeps one.
      for (const page of context.pages()) if (page !== late.page) await page.close();
      expect(errors).toEqual([]);
    });

    it('a link that a colleague got decides without the page, and the page goes on', async () => {
      const tab = await open();
      await tab.send(PROMPT);
      await tab.untilApproval();
      const [mail] = await Promise.all([
        context.waitForEvent('page'),
        tab.page.getByRole('link', { name: 'open it' }).click(),
      ]);
      expect(await mail.innerText('h1')).toBe('Approve refund?');
      expect(await mail.innerText('.question')).toBe('Pay 89.00 EUR back for order 1042?');
      await mail.getByRole('button', { name: 'Approve' }).click();
      expect(await mail.innerText('h1')).toBe('This was approved');
      await tab.untilStatus('ready');
      expect(await tab.answer()).toContain('89.00 EUR for the kettle');
      expect((await demo.state()).shop.refunds).toMatchObject([{ orderId: 1042, amount: 89 }]);
    });

    it('a question outlives the server, and what is chosen is sent', async () => {
      const tab = await suggested(/^A question/);
      await tab.page.locator('[data-question]').waitFor();
      await demo.killServer();
      await tab.page.reload();
      expect(await tab.page.locator('[data-question] h2').innerText()).toBe('Which colour shall the new apron have?');
      await tab.click('moss green');
      await tab.untilStatus('ready');
      expect(wordsOf(await tab.answer())).toContain('apron in moss green');
      expect(await bookings('parcel')).toMatchObject([{ orderId: 1017, detail: 'apron, moss green' }]);
    });

    async function bookings(kind: string) {
      return (await demo.state()).shop.bookings.filter((booking) => booking.kind === kind);
    }

    /** Kills the server when the courier is booked and the call has not ended. */
    async function killedWhileBooking(): Promise<ChatPage> {
      const before = (await bookings('courier')).length;
      const tab = await suggested(/^A call in doubt/);
      await expect.poll(async () => (await bookings('courier')).length, { timeout: 30_000 }).toBe(before + 1);
      await tab.click(/^Kill/);
      await tab.page.locator('[data-doubt]').waitFor();
      return tab;
    }

    it('a call in doubt is asked about: it happened, and is not made again', async () => {
      const tab = await killedWhileBooking();
      expect(await tab.page.locator('[data-doubt] h2').innerText()).toBe(
        'A courier for the toaster of order 1005: was one booked?',
      );
      const [courier] = await bookings('courier');
      await tab.click('It happened');
      await tab.page.keyboard.type(courier?.number ?? '');
      await tab.page.keyboard.press('Enter');
      await tab.untilStatus('ready');
      expect(wordsOf(await tab.answer())).toContain(`Courier ${wordsOf(courier?.number ?? '')} comes tomorrow`);
      expect(await bookings('courier')).toHaveLength(1);
    });

    it('a call in doubt is settled by a link: nobody knows, and the agent says so', async () => {
      const tab = await killedWhileBooking();
      const [mail] = await Promise.all([
        context.waitForEvent('page'),
        tab.page.getByRole('link', { name: 'open it' }).click(),
      ]);
      await mail.getByLabel('What came of it?').fill('a courier');
      await mail.getByRole('button', { name: 'It happened' }).click();
      expect(await mail.getByRole('alert').innerText()).toContain('fits the outputSchema');
      await mail.getByLabel('What should the model know?').fill('The company is asked.');
      await mail.getByRole('button', { name: 'Let it fail' }).click();
      expect(await mail.innerText('h1')).toBe('This was given up');
      await tab.untilStatus('ready');
      expect(await tab.answer()).toContain('I cannot say yet whether a courier is booked');
    });

    it('a budget stops the run, which goes on with more, or not', async () => {
      const cards = (page: Page) => page.locator('[data-budget]');
      const tab = await suggested(/^A budget/);
      await cards(tab.page).waitFor();
      expect(await cards(tab.page).innerText()).toContain('This run has made 5 of 5 tool calls.');
      expect(await tab.page.locator('[data-tool=readOrder]').count()).toBe(6);
      await tab.click('Allow 5 more tool calls');
      await tab.untilStatus('ready');
      expect(await tab.answer()).toContain('order 1108');

      const other = await suggested(/^A budget/);
      await cards(other.page).waitFor();
      await other.click('Stop here');
      await other.page.keyboard.type('Too many.');
      await other.page.keyboard.press('Enter');
      await other.untilStatus('ready');
      expect(await cards(other.page).count()).toBe(0);
      expect(await other.answer()).not.toContain('order 1108');
    });

    it('an approval that nobody answers in time is told as that', async () => {
      await late.untilStatus('ready');
      expect(await late.page.locator('[data-tool=giveVoucher]').innerText()).toContain(
        'expired: nobody answered in time',
      );
      expect(await late.answer()).toContain('nobody has answered in time');
      expect(await bookings('voucher')).toEqual([]);
      expect((await late.panel()).rows).toContain('Nobody answered in time');
    });
  },
  { timeout: 90_000 },
);
