/** Times as people say them. */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A length of time: `12 ms`, `3.2 s`, `48 s`, `5 min`, `3 h`, `9 days`. */
export function spanText(ms: number): string {
  const length = Math.max(0, ms);
  if (length < SECOND) return `${Math.round(length)} ms`;
  if (length < 9.95 * SECOND) return `${(length / SECOND).toFixed(1)} s`;
  if (length < 99.5 * SECOND) return `${Math.round(length / SECOND)} s`;
  if (length < 99.5 * MINUTE) return `${Math.round(length / MINUTE)} min`;
  if (length < 48 * HOUR) return `${Math.round(length / HOUR)} h`;
  return `${Math.round(length / DAY)} days`;
}

/** A moment, seen from now: `3 min ago`, `in 2 h`, `now`. */
export function relativeText(at: number, now: number): string {
  const ms = at - now;
  if (Math.abs(ms) < SECOND) return 'now';
  const span = spanText(Math.round(Math.abs(ms) / SECOND) * SECOND).replace('.0 s', ' s');
  return ms < 0 ? `${span} ago` : `in ${span}`;
}

/** A moment in local time: `2026-11-20 14:03:12`. */
export function dateText(at: number): string {
  return `${dayText(at)} ${clockText(at).slice(0, 8)}`;
}

/** The time of day, local: `14:03:12.345`. */
export function clockText(at: number): string {
  const date = new Date(at);
  const parts = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, '0'));
  return `${parts.join(':')}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/** Days from one local day to another. */
export function daysBetween(from: number, to: number): number {
  const midnight = (at: number): number => new Date(at).setHours(0, 0, 0, 0);
  return Math.round((midnight(to) - midnight(from)) / DAY);
}

function dayText(at: number): string {
  const date = new Date(at);
  const parts = [date.getFullYear(), date.getMonth() + 1, date.getDate()];
  return parts.map((part) => String(part).padStart(2, '0')).join('-');
}
