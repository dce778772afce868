/** One tab on the demo's page, as a person sees it. */
import type { BrowserContext, Page } from 'playwright-core';

export const PROMPT = 'Hello, the kettle of my order 1042 arrived broken. Can I have my money back?';

export class ChatPage {
  readonly page: Page;

  private constructor(page: Page) {
    this.page = page;
  }

  static async open(context: BrowserContext, address: { url: string; chat: string }): Promise<ChatPage> {
    const page = await context.newPage();
    await page.goto(`${address.url}/?chat=${address.chat}`);
    return new ChatPage(page);
  }

  async send(text: string): Promise<void> {
    await this.page.getByLabel('Your message').fill(text);
    await this.page.keyboard.press('Enter');
  }

  /** Text of the last answer, without tool calls. */
  async answer(): Promise<string> {
    const texts = await this.page.locator('.is-agent').last().locator('.text').allInnerTexts();
    return texts.join('\n');
  }

  async answers(): Promise<string[]> {
    const all = await this.page.locator('.is-agent').all();
    return Promise.all(all.map(async (each) => (await each.locator('.text').allInnerTexts()).join('\n')));
  }

  /** Until the last answer has so many characters and is being written. */
  async untilWriting(characters = 1): Promise<void> {
    await this.page.waitForFunction((least) => {
      const parts = document.querySelector('.is-agent:last-of-type')?.querySelectorAll('.text') ?? [];
      const text = [...parts].map((part) => (part as HTMLElement).innerText).join('');
      return document.querySelector('.is-writing') !== null && text.length >= least;
    }, characters);
  }

  async untilStatus(status: 'ready' | 'waiting'): Promise<void> {
    await this.page.locator(`.conversation[data-status=${status}]`).waitFor();
  }

  async untilApproval(): Promise<void> {
    await this.page.locator('.approval').waitFor();
  }

  /** The panel beside the conversation: what the journal says of the last run. */
  async panel(): Promise<{ state: string; figures: Record<string, number>; rows: string[] }> {
    const texts = (selector: string): Promise<string[]> =>
      this.page
        .locator(`#run-panel ${selector}`)
        .evaluateAll((all) => all.map((each) => (each as HTMLElement).innerText.replace(/\s+/g, ' ').trim()));
    const [[state = ''], names, values, rows] = await Promise.all([
      texts('.state'),
      texts('.numbers dt'),
      texts('.numbers dd'),
      texts('.journal li'),
    ]);
    const figures = names.map((name, index) => [name, Number(values[index]?.replaceAll(',', ''))] as const);
    return { state, figures: Object.fromEntries(figures), rows };
  }

  async click(name: string | RegExp): Promise<void> {
    await this.page.getByRole('button', { name, ...(typeof name === 'string' ? { exact: true } : {}) }).click();
  }
}

/** What was said, however it is laid out: words alone, without list marks and line ends. */
export function wordsOf(text: string): string {
  return (text.match(/[\p{L}\p{N}_.,:;]+/gu) ?? []).join(' ');
}

/** The model puts its mark three times into a text: one that stands more often was shown twice. */
export function marksOf(text: string): number[] {
  const counts = new Map<string, number>();
  for (const [mark] of text.matchAll(/tk_[0-9a-f]{8}/g)) counts.set(mark, (counts.get(mark) ?? 0) + 1);
  return [...counts.values()];
}
