/** Stages and screens for tests, and what holds of all of them. */

import type { Browser, BrowserContext } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { launchChromium } from './chromium.ts';
import { openStage } from './harness.ts';
import type { Stage, StageOptions } from './harness.ts';
import type { Screen } from './screen.ts';

export interface Theatre {
  stage(): Stage;
  newThread(): string;
  newContext(): Promise<BrowserContext>;
  /** A page of its own browser profile, on a thread of its own. */
  open(client: string, options?: { url?: string }): Promise<{ screen: Screen; id: string }>;
  /**
   * Resolves with the texts when the thread is idle and what is shown is what is stored: the history, and the streams of its runs
   * folded to messages.
   */
  showsWhatIsStored(screen: Screen, id: string): Promise<string[]>;
  /** Resolves when no run of the thread goes on. */
  isIdle(id: string): Promise<void>;
  /** Resolves when a tool did this. */
  witnesses(act: string): Promise<void>;
  /** What the tools did that begins so. */
  actsOf(beginning: string): Promise<string[]>;
}

export interface TheatreOptions extends StageOptions {
  chromiumArgs?: string[];
}

const PATIENCE = { timeout: 30_000, interval: 30 };

/** One browser and one server for the tests of a describe. */
export function useTheatre({ chromiumArgs = [], ...stageOptions }: TheatreOptions = {}): Theatre {
  let browser: Browser | undefined;
  let stage: Stage | undefined;
  let contexts: BrowserContext[] = [];
  let threads = 0;

  beforeAll(async () => {
    [browser, stage] = await Promise.all([launchChromium(chromiumArgs), openStage(stageOptions)]);
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
    // Of this host, whatever the port: a proxy may stand on another one.
    if (stageOptions.access === 'cookie') await context.addCookies([{ name: 'user', value: 'test', url: there().url }]);
    return context;
  };
  const isIdle = (id: string): Promise<void> =>
    expect.poll(async () => (await there().stored(id)).run, PATIENCE).toBeNull();
  return {
    stage: there,
    newThread,
    newContext,
    isIdle,
    async open(client, options) {
      const id = newThread();
      return { screen: await there().open(await newContext(), { id, client, ...options }), id };
    },
    async showsWhatIsStored(screen, id) {
      await isIdle(id);
      const { messages, folded } = await there().stored(id);
      expect(messages).toEqual(folded);
      await expect.poll(() => screen.parts(), PATIENCE).toEqual(folded);
      return screen.texts();
    },
    witnesses: (act) => expect.poll(() => there().witnessed(), PATIENCE).toContain(act),
    actsOf: async (beginning) => (await there().witnessed()).filter((line) => line.startsWith(beginning)),
  };
}

export function words(text: string | undefined): string[] {
  return (text ?? '').split(' ').filter((word) => word !== '');
}
