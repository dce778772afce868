import type { UIMessage, UIMessageChunk } from 'ai';
import { describe, expect, it } from 'vitest';
import { foldMessage, foldPartial, mergeDeltas } from '../../src/streams/fold.ts';

const hello: UIMessageChunk[] = [
  { type: 'start', messageId: 'm1' },
  { type: 'start-step' },
  { type: 'text-start', id: 't' },
  { type: 'text-delta', id: 't', delta: 'Hel' },
  { type: 'text-delta', id: 't', delta: 'lo' },
  { type: 'text-end', id: 't' },
  { type: 'finish-step' },
  { type: 'finish' },
];

function texts(message: UIMessage | null): string[] {
  return (message?.parts ?? []).flatMap((part) => (part.type === 'text' ? [part.text] : []));
}

describe('folding chunks into a message', () => {
  it('shows the text of a finished stream under the id of its start', async () => {
    const message = await foldMessage(hello);
    expect(message).toMatchObject({
      id: 'm1',
      role: 'assistant',
      parts: [{ type: 'step-start' }, { type: 'text', text: 'Hello', state: 'done' }],
    });
  });

  it('shows what is visible at every cut', async () => {
    const shown = [];
    for (let cut = 0; cut <= hello.length; cut += 1)
      shown.push(texts(await foldMessage(hello.slice(0, cut))).join('|'));
    expect(shown).toEqual(['', '', '', '', 'Hel', 'Hello', 'Hello', 'Hello', 'Hello']);
  });

  it('keeps a step-start with nothing after it', async () => {
    const message = await foldMessage(hello.slice(0, 2));
    expect(message?.parts).toEqual([{ type: 'step-start' }]);
  });

  it('is null without chunks, and the given message if there is one', async () => {
    const before = await foldMessage(hello);
    expect(await foldMessage([])).toBeNull();
    expect(await foldMessage([], before === null ? {} : { message: before })).toEqual(before);
  });

  it('continues a message without changing the one that it was given', async () => {
    const before = (await foldMessage(hello)) as UIMessage;
    const copy = structuredClone(before);
    const after = await foldMessage(
      [{ type: 'start-step' }, { type: 'text-start', id: 'u' }, { type: 'text-delta', id: 'u', delta: 'again' }],
      { message: before },
    );
    expect(texts(after)).toEqual(['Hello', 'again']);
    expect(after?.id).toBe('m1');
    expect(before).toEqual(copy);
  });

  it('takes back the current step on reset-step and keeps the ones before', async () => {
    const message = await foldMessage([
      ...hello.slice(0, 7),
      { type: 'start-step' },
      { type: 'text-start', id: 'u' },
      { type: 'text-delta', id: 'u', delta: 'abandoned' },
      { type: 'reset-step' },
      { type: 'text-start', id: 'u' },
      { type: 'text-delta', id: 'u', delta: 'kept' },
    ]);
    expect(texts(message)).toEqual(['Hello', 'kept']);
    expect(message?.parts.filter((part) => part.type === 'step-start')).toHaveLength(2);
  });

  it('shows what an aborted or failed stream had', async () => {
    expect(texts(await foldMessage([...hello.slice(0, 4), { type: 'abort' }, { type: 'finish' }]))).toEqual(['Hel']);
    expect(
      texts(await foldMessage([...hello.slice(0, 4), { type: 'error', errorText: 'no model' }, { type: 'finish' }])),
    ).toEqual(['Hel']);
  });

  it('refuses chunks that do not fit together', async () => {
    await expect(foldMessage([{ type: 'start' }, { type: 'text-delta', id: 'x', delta: 'lost' }])).rejects.toThrow(
      /text-delta for missing text part/,
    );
  });
});

describe('the partial text', () => {
  it('is the text of the step that is not finished', () => {
    expect(foldPartial(hello.slice(0, 4))).toBe('Hel');
    expect(foldPartial(hello.slice(0, 6))).toBe('Hello');
    expect(foldPartial(hello.slice(0, 7))).toBe('');
    expect(foldPartial([...hello.slice(0, 4), { type: 'abort' }, { type: 'finish' }])).toBe('Hel');
  });

  it('leaves out what a reset took back', () => {
    expect(foldPartial([...hello.slice(0, 4), { type: 'reset-step' }])).toBe('');
    expect(
      foldPartial([...hello.slice(0, 4), { type: 'reset-step' }, { type: 'text-delta', id: 't', delta: 'new' }]),
    ).toBe('new');
  });
});

describe('merging deltas', () => {
  it('joins neighbours of one part only', () => {
    const merged = mergeDeltas([
      { type: 'text-start', id: 'a' },
      { type: 'text-delta', id: 'a', delta: '1' },
      { type: 'text-delta', id: 'a', delta: '2' },
      { type: 'text-delta', id: 'b', delta: '3' },
      { type: 'reasoning-delta', id: 'b', delta: '4' },
      { type: 'reasoning-delta', id: 'b', delta: '5' },
      { type: 'tool-input-delta', toolCallId: 'c', inputTextDelta: '{' },
      { type: 'tool-input-delta', toolCallId: 'c', inputTextDelta: '}' },
    ]);
    expect(merged).toEqual([
      { type: 'text-start', id: 'a' },
      { type: 'text-delta', id: 'a', delta: '12' },
      { type: 'text-delta', id: 'b', delta: '3' },
      { type: 'reasoning-delta', id: 'b', delta: '45' },
      { type: 'tool-input-delta', toolCallId: 'c', inputTextDelta: '{}' },
    ]);
  });

  it('folds to the same message', async () => {
    const metadata: UIMessageChunk[] = [
      ...hello.slice(0, 4),
      { type: 'text-delta', id: 't', delta: 'p', providerMetadata: { test: { signature: 'x' } } },
      { type: 'text-delta', id: 't', delta: '!' },
    ];
    const message = await foldMessage(metadata);
    expect(message?.parts[1]).toMatchObject({ text: 'Help!', providerMetadata: { test: { signature: 'x' } } });
  });
});
