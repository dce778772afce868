import { describe, expect, it } from 'vitest';
import { recordedTurns } from '../../src/agent/history/recorded-turns.ts';
import { toolKeys } from '../../src/agent/tool/tool-key.ts';
import { keyPart } from '../../src/runtime/key-part.ts';
import type { JournalEvent } from '../../src/runtime/event.ts';

const IDS = ['plain', 'a/b', 'a#b', 'a%2Fb', 'twice', 'twice', 'twice'];

function event(type: JournalEvent['type'], key: string, value: unknown): JournalEvent {
  return { type, key, at: 0, hasValue: true, value };
}

describe('tool calls in the journal', () => {
  it('have keys of their own, whatever their ids are', () => {
    const keys = toolKeys(
      'agent#0/t0',
      IDS.map((toolCallId) => ({ toolCallId })),
    );
    expect(new Set(keys).size).toBe(IDS.length);
    expect(keys.slice(-3)).toEqual(['twice', 'twice#dup', 'twice#dup2'].map((id) => `agent#0/t0/tool:${id}`));
    for (const id of IDS) expect(keyPart(id)).not.toMatch(/[/#]/);
  });

  it('get their own results when a recorded turn becomes messages', async () => {
    const calls = IDS.map((toolCallId) => ({ type: 'tool-call' as const, toolCallId, toolName: 'look', input: '{}' }));
    const keys = toolKeys('agent#0/t0', calls);
    const events = [
      event('turn_completed', 'agent#0/t0', { parts: calls }),
      ...keys.map((key, index) => event('tool_completed', key, `result ${index}`)).slice(0, -1),
      event('tool_failed', keys.at(-1) ?? '', new Error('no')),
    ];
    const [turn] = await recordedTurns(events, { prefix: 'agent#0/', tools: {} });
    const answers = turn?.messages.flatMap((message) => (message.role === 'tool' ? message.content : []));
    const outputs = answers?.map((part) =>
      part.type === 'tool-result' && 'value' in part.output ? part.output.value : '',
    );
    expect(outputs).toEqual([...IDS.slice(0, -1).map((_, index) => `result ${index}`), 'no']);
  });
});
