import type { Commit, Store } from '../../src/runtime/store.ts';

export interface Killable {
  store: Store;
  /** From now on no call is applied and none is answered, as after SIGKILL. */
  kill(): void;
  /** Commits that were applied. */
  commits(): number;
  isDead(): boolean;
}

/** A process's view of a store that can die. `before` is called ahead of each batch of commits, with how many there were, and may kill. */
export function killable(
  inner: Store,
  before: (count: number, batch: readonly Commit[]) => 'go' | 'die before' | 'die after' = () => 'go',
): Killable {
  let dead = false;
  let commits = 0;
  const never = (): Promise<never> => new Promise(() => {});
  const store = new Proxy(inner, {
    get(target, property: keyof Store) {
      const value = target[property];
      if (typeof value !== 'function') return value;
      if (property === 'close') return () => Promise.resolve();
      if (property === 'watch') {
        return (listener: (hint: never) => void) => target.watch?.((hint) => !dead && listener(hint as never));
      }
      return async (...args: never[]) => {
        if (dead) return never();
        const fate = property === 'commit' ? before((commits += 1), args[0] ?? []) : 'go';
        if (fate === 'die before') dead = true;
        if (dead) return never();
        const answer = await (value as (...args: never[]) => Promise<unknown>).apply(target, args);
        if (fate === 'die after') dead = true;
        return dead ? never() : answer;
      };
    },
  });
  return { store, kill: () => (dead = true), commits: () => commits, isDead: () => dead };
}
