import { describe } from 'vitest';
import { inBrowser } from '../browser/harness.ts';
import { describeClient, useTheatre } from '../browser/theatre.ts';

inBrowser('in Chromium', () => {
  const theatre = useTheatre();
  describe.each([
    ['useChat with our transport', 'transport'],
    ['useChat as it is', 'stock'],
  ])('%s', (_, client) => describeClient(client, theatre));
});
