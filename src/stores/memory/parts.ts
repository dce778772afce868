/** Parts of large values (S35 to S37). */

import { ORPHAN_MS } from '../../runtime/store.ts';
import type { Part } from '../../runtime/store.ts';
import type { MemoryState } from './state.ts';

/** S35 */
export function putParts(state: MemoryState, put: { id: string; parts: readonly Part[] }): void {
  const record = state.parts.get(put.id) ?? { at: 0, bytes: new Map<string, Uint8Array>() };
  state.parts.set(put.id, record);
  record.at = state.clock.now();
  for (const { hash, bytes } of put.parts) if (!record.bytes.has(hash)) record.bytes.set(hash, bytes.slice());
}

/** S36 */
export function getParts(
  state: MemoryState,
  asked: { id: string; hashes: readonly string[] },
): Array<Uint8Array | null> {
  const bytes = state.parts.get(asked.id)?.bytes;
  return asked.hashes.map((hash) => bytes?.get(hash) ?? null);
}

/** S37. `gone`: runs that were removed just now. */
export function removeOrphans(state: MemoryState, { gone }: { gone: string[] }): void {
  const before = state.clock.now() - ORPHAN_MS;
  const ids = Array.from(state.parts)
    .filter(([id, { at }]) => at < before || gone.includes(id))
    .map(([id]) => id);
  for (const id of ids) if (!isNeeded(state, id)) state.parts.delete(id);
}

function isNeeded(state: MemoryState, id: string): boolean {
  if (state.runs.has(id)) return true;
  for (const { inboxIds } of state.runs.values()) if (inboxIds.has(id)) return true;
  return false;
}
