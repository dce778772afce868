/** What the transitions of one open store share. */

import type { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../../runtime/clock.ts';
import type { Hint } from '../../runtime/store.ts';
import type { FreshPages } from '../fresh-pages.ts';

export interface OpenFile {
  db: DatabaseSync;
  clock: Clock;
  /** What the transaction under way will tell watchers once it is durable. */
  hints: Hint[];
  fresh: FreshPages;
}
