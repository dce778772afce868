import { describe, it } from 'vitest';
import { memoryStore } from '../../src/memory.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { describeStore } from '../../src/testing/store-suite/store-suite.ts';

const makeStore = async () => {
  const clock = manualClock();
  const store = memoryStore({ clock });
  return { store, advance: clock.advance, close: () => store.close() };
};

describeStore({ describe, it }, makeStore, { skip: { reopen: 'it keeps nothing when it is closed' } });
