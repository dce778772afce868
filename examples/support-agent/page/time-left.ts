/** How long something can still be answered. */
import { useEffect, useState } from 'react';

/** In words, each second anew; undefined for what waits for ever. */
export function useTimeLeft(expiresAt: number | null): string | undefined {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (expiresAt === null) return undefined;
    const timer = window.setInterval(() => setNow(Date.now()), 250);
    return () => window.clearInterval(timer);
  }, [expiresAt]);
  if (expiresAt === null) return undefined;
  const seconds = Math.max(0, Math.ceil((expiresAt - now) / 1_000));
  if (seconds === 0) return 'time is over';
  const minutes = Math.floor(seconds / 60);
  return minutes >= 2 ? `${minutes} min left` : `${minutes}:${String(seconds % 60).padStart(2, '0')} left`;
}
