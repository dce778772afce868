import { describeClient } from './client-proofs.ts';
import { inBrowser } from './harness.ts';
import { useTheatre } from './theatre.ts';

inBrowser('useChat as it is in Chromium', () => {
  describeClient('stock', useTheatre());
});
