/** The server process as the page sees it: asked again and again, since it may be dead. */
import { useEffect, useState } from 'react';
import type { DemoState } from '../messages.ts';

export interface Server {
  state: DemoState | undefined;
  isUp: boolean;
  /** How long the last outage was. */
  outageMs: number | undefined;
  kill(): Promise<void>;
}

export function useServer(isBusy: boolean): Server {
  const [state, setState] = useState<DemoState>();
  const [downSince, setDownSince] = useState<number>();
  const [outageMs, setOutageMs] = useState<number>();
  const isUp = downSince === undefined;
  const pauseMs = !isUp || isBusy ? 400 : 1500;
  useEffect(() => {
    let isOver = false;
    let timer = 0;
    const look = async (): Promise<void> => {
      const next = await readState();
      if (isOver) return;
      if (next === undefined) setDownSince((since) => since ?? Date.now());
      else {
        setState(next);
        setDownSince((since) => {
          if (since !== undefined) setOutageMs(Date.now() - since);
          return undefined;
        });
      }
      timer = window.setTimeout(() => void look(), pauseMs);
    };
    void look();
    return () => {
      isOver = true;
      window.clearTimeout(timer);
    };
  }, [pauseMs]);
  return { state, isUp, outageMs, kill };
}

/** Undefined: nobody answers, which is what the page wants to show. */
async function readState(): Promise<DemoState | undefined> {
  try {
    const response = await fetch('/demo/state', { signal: AbortSignal.timeout(2_000) });
    return response.ok ? ((await response.json()) as DemoState) : undefined;
  } catch {
    return undefined;
  }
}

async function kill(): Promise<void> {
  try {
    await fetch('/demo/kill', { method: 'POST' });
  } catch {
    // Whoever is killed may not have answered; the next look tells.
  }
}
