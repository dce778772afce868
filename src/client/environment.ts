/** What the client takes from the page: requests, time, chance, and news of the network. Tests bring their own. */

import { systemClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { randomBytes } from '../runtime/ids.ts';

export interface Environment {
  fetch: typeof globalThis.fetch;
  clock: Clock;
  /** In [0, 1). */
  random(): number;
  network: Network;
}

export interface Network {
  /** What the platform believes; it may be wrong in both directions. */
  isOnline(): boolean;
  /** `online`: the network came back, so connections of before may be dead. `visible`: the page is looked at again. */
  onNews(listener: (news: NetworkNews) => void): () => void;
}

export type NetworkNews = 'online' | 'visible';

export function browserEnvironment(overrides: Partial<Environment> = {}): Environment {
  return {
    // Looked up at each call: other libraries replace it.
    fetch: (input, init) => globalThis.fetch(input, init),
    clock: systemClock(),
    random: () => new DataView(randomBytes(4).buffer).getUint32(0) / 2 ** 32,
    network: browserNetwork(),
    ...overrides,
  };
}

/** Hosts without such events never have news. */
function browserNetwork(): Network {
  return {
    isOnline: () => globalThis.navigator?.onLine ?? true,
    onNews(listener) {
      const online = (): void => listener('online');
      const visible = (): void => {
        if (document.visibilityState === 'visible') listener('visible');
      };
      if (typeof document === 'undefined') return () => undefined;
      const events: Array<[EventTarget, string, () => void]> = [
        [globalThis, 'online', online],
        [document, 'visibilitychange', visible],
        // A page that was frozen, or that comes out of the back/forward cache.
        [document, 'resume', visible],
        [globalThis, 'pageshow', visible],
      ];
      for (const [target, type, listen] of events) target.addEventListener(type, listen);
      return () => {
        for (const [target, type, listen] of events) target.removeEventListener(type, listen);
      };
    },
  };
}
