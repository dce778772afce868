/** Which steps a run was at while the event loop stalled. */

import { COMPLETIONS } from './context.ts';
import type { RunCore } from './run-core.ts';

/** Names of the bodies that run, and of those that ended with the stall: their completions have not been sent. */
export function stepsAtStall({ bodies, pending }: RunCore): string[] {
  const ended = pending.events.filter(({ event }) => COMPLETIONS.has(event.type) && event.attempt !== undefined);
  return [
    ...[...bodies].map((body) => body.label),
    ...ended.map(({ event: { key, meta } }) => (typeof meta?.['tool'] === 'string' ? meta['tool'] : key)),
  ];
}
