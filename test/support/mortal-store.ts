import type { Commit, Store } from '../../src/runtime/store.ts';
import { killable } from './killable.ts';

export interface MortalStore extends Store {
  readonly dead: boolean;
}

/** A store whose process dies with a commit: no call is answered after it. `before`: the commit itself is not applied. */
export function mortalStore(
  inner: Store,
  { at, when = 'after' }: { at: (commit: Commit, index: number) => boolean; when?: 'before' | 'after' },
): MortalStore {
  let commits = 0;
  const process = killable(inner, (_, batch) => (batch.some((commit) => at(commit, commits++)) ? `die ${when}` : 'go'));
  return new Proxy(process.store as MortalStore, {
    get: (store, property) => (property === 'dead' ? process.isDead() : Reflect.get(store, property)),
  });
}
