/** What tabs of one origin have in common: a lock that one of them holds, and a channel. */

export interface Tabs {
  /**
   * Calls `lead` when the lock is got, and holds it until that settles. Its signal aborts when another tab takes the lock away. `steal`:
   * take it from a holder that does not answer. Resolves when it is held no more; rejects with the reason of the signal.
   */
  lead(options: LeadOptions, lead: (signal: AbortSignal) => Promise<void>): Promise<void>;
  join(name: string, onMessage: (message: unknown) => void): TabChannel;
  /** Whether somebody can see this tab. */
  isVisible(): boolean;
}

export interface LeadOptions {
  name: string;
  signal: AbortSignal;
  steal: boolean;
}

export interface TabChannel {
  /** To all others. */
  post(message: unknown): void;
  close(): void;
}

/** Undefined where the platform lacks locks (an insecure origin) or channels: then each tab is on its own. */
export function browserTabs(): Tabs | undefined {
  const locks = globalThis.navigator?.locks;
  if (locks === undefined || typeof BroadcastChannel === 'undefined') return undefined;
  return {
    async lead({ name, signal, steal }, lead) {
      const stolen = new AbortController();
      // A request that steals takes no signal.
      const options = steal ? { steal } : { signal };
      try {
        await locks.request(name, options, () => lead(AbortSignal.any([signal, stolen.signal])));
      } catch (error) {
        signal.throwIfAborted();
        if (!isAbort(error)) throw error;
        stolen.abort();
      }
    },
    join(name, onMessage) {
      const channel = new BroadcastChannel(name);
      channel.onmessage = ({ data }) => onMessage(data);
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel is of one origin
      return { post: (message) => channel.postMessage(message), close: () => channel.close() };
    },
    isVisible: () => typeof document === 'undefined' || document.visibilityState === 'visible',
  };
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}
