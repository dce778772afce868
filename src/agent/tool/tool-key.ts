/** The keys of tool calls, `<turn>/tool:<id>`: made while a call runs, and made again where the journal is read. Pure. */

import { keyPart } from '../../runtime/key-part.ts';

/** The key of a call below its turn's key. `earlier`: calls before it in the turn with the same id. */
export function toolKey(turnKey: string, call: { toolCallId: string; earlier: number }): string {
  const base = `${turnKey}/tool:${keyPart(call.toolCallId)}`;
  if (call.earlier === 0) return base;
  return `${base}#dup${call.earlier === 1 ? '' : call.earlier}`;
}

/** The keys of a turn's calls, in their order. */
export function toolKeys(turnKey: string, calls: ReadonlyArray<{ toolCallId: string }>): string[] {
  const seen = new Map<string, number>();
  return calls.map(({ toolCallId }) => {
    const earlier = seen.get(toolCallId) ?? 0;
    seen.set(toolCallId, earlier + 1);
    return toolKey(turnKey, { toolCallId, earlier });
  });
}
