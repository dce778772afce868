import { describeClient } from './client-proofs.ts';
import { inBrowser } from './harness.ts';
import { useTheatre } from './theatre.ts';

inBrowser('useChat with our transport in Chromium', () => {
  describeClient('transport', useTheatre());
});
