import { sqliteStore } from 'everturn/sqlite';
import { storeFolder } from '../stores/sqlite-file.ts';
import { describeConformance } from './conformance.ts';

describeConformance(() => {
  const { path, remove } = storeFolder();
  return { store: sqliteStore({ path }), remove };
});
