/** A real Chromium with a fresh profile. */
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import type { Browser } from 'playwright-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Why the tests are skipped, if they are: a computer without a browser may run all others. CI has to have one. */
export const noChromium: string | undefined = reasonToSkip();

export async function launchChromium(args: readonly string[] = []): Promise<Browser> {
  const executablePath = find();
  if (executablePath === undefined) throw new Error(`There is no Chromium in ${PLACES.join(', ')}; set CHROMIUM_PATH.`);
  return chromium.launch({
    executablePath,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...args,
    ],
  });
}

function find(): string | undefined {
  return [process.env['CHROMIUM_PATH'] ?? '', ...PLACES].find((path) => path !== '' && existsSync(path));
}

function reasonToSkip(): string | undefined {
  if (find() !== undefined || process.env['CI'] === 'true') return undefined;
  return 'no Chromium here: install it, or set CHROMIUM_PATH';
}
