import { describe, it } from 'vitest';
import { sqliteStore } from '../../src/sqlite.ts';
import { manualClock } from '../../src/testing/manual-clock.ts';
import { describeStore } from '../../src/testing/store-suite/store-suite.ts';
import { storeFolder } from './sqlite-file.ts';

const makeStore = async () => {
  const clock = manualClock();
  const { path, remove } = storeFolder();
  const open = () => sqliteStore({ path, clock, synchronous: 'normal', watchMs: 0 });
  let store = open();
  return {
    store,
    advance: clock.advance,
    reopen: async () => {
      await store.close();
      return (store = open());
    },
    close: async () => {
      await store.close();
      remove();
    },
  };
};

describeStore({ describe, it }, makeStore);
