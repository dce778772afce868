/** A tab with the page of `app/page.tsx`, as a person sees it. */

import type { UIMessage } from 'ai';
import type { Page } from 'playwright-core';

export interface Screen {
  page: Page;
  send(text: string): Promise<void>;
  press(name: string): Promise<void>;
  /** Of each message, the text. */
  texts(): Promise<string[]>;
  /** Of each message, what `shownParts` would say of it. */
  parts(): Promise<string[][]>;
  status(): Promise<string | null>;
  /** Approvals that can be answered here. */
  cards(): Promise<number>;
  /** Resolves when the page asks for an approval. */
  asks(): Promise<void>;
  /** Resolves when the page has this status. */
  is(status: string): Promise<void>;
  /** Resolves when the message at this place has words. */
  answers(index: number): Promise<void>;
  /** Resolves when the page shows it somewhere in a message. */
  shows(text: string): Promise<void>;
}

export function screenOf(page: Page): Screen {
  const main = page.locator('main');
  const cards = page.locator('article');
  return {
    page,
    async send(text) {
      await page.getByLabel('Message').fill(text);
      await page.getByRole('button', { name: 'Send' }).click();
    },
    press: (name) => page.getByRole('button', { name, exact: true }).click(),
    texts: () =>
      page
        .locator('li')
        .evaluateAll((items) =>
          items.map((item) => [...item.querySelectorAll('span')].map((span) => span.textContent).join('')),
        ),
    parts: () =>
      page
        .locator('li')
        .evaluateAll((items) =>
          items.map((item) =>
            [...item.children].map((part) => `${part.getAttribute('data-state') ?? ''}${part.textContent}`),
          ),
        ),
    status: () => main.getAttribute('data-status'),
    cards: () => cards.count(),
    asks: () => cards.first().waitFor(),
    is: (status) => page.locator(`main[data-status="${status}"]`).waitFor(),
    answers: (index) => page.locator('li').nth(index).locator('span', { hasText: /./ }).first().waitFor(),
    shows: (text) => page.locator('li', { hasText: text }).first().waitFor(),
  };
}

/** A message as the page shows it: each text, and of each tool call its state, input and output. */
export function shownParts({ parts }: UIMessage): string[] {
  return parts.flatMap((part) => {
    if (part.type === 'text') return [part.text];
    if (!('toolCallId' in part)) return [];
    const { state, input, output } = part as { state: string; input?: unknown; output?: unknown };
    return [`${state}${JSON.stringify({ input, output })}`];
  });
}
