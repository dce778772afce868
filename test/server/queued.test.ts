import { DurableAgent } from 'everturn';
import { expect, it } from 'vitest';
import { scriptedModel } from '../agent/run-kit.ts';
import type { Prompt } from '../agent/run-kit.ts';
import { allFrames, chunksOf, framesOf, openDirectly, overBothWays, post, say, textOf } from './kit.ts';
import type { OpenSite, Site } from './kit.ts';

const runOf = (response: Response): string => response.headers.get('x-workflow-run-id')?.split('~')[0] ?? '';

const saidIn = (prompt: Prompt): string[] =>
  prompt.flatMap(({ role, content }) =>
    role === 'user' ? content.map((part) => (part.type === 'text' ? part.text : '')) : [],
  );

/** A thread whose first run is held, and one message behind it that is taken back. */
async function openWithdrawn(open: OpenSite): Promise<{ site: Site; prompts: Prompt[]; withdrawn: string }> {
  let release = (): void => {};
  const hold = new Promise<void>((resolve) => (release = resolve));
  const { model, prompts } = scriptedModel([{ text: 'One', hold }, { text: 'Three' }, { text: 'Once more' }]);
  const site = await open({ agents: { support: new DurableAgent({ model }) } });
  const first = await say(site, { id: 'm1', text: 'first' });
  const second = await say(site, { id: 'm2', text: 'never mind', whenBusy: 'queue' });
  const withdrawn = runOf(second);
  const stopped = await post(site, {}, { path: `/chat/${withdrawn}/stop` });
  expect(await stopped.json()).toEqual({ runId: withdrawn, status: 'cancelled' });
  release();
  expect(textOf(await chunksOf(first))).toBe('One');
  expect((await chunksOf(second)).map(({ type }) => type)).toEqual(['abort', 'finish']);
  return { site, prompts, withdrawn };
}

overBothWays('a queued message that is stopped before its turn', (open) => {
  it('is in no history, for people and for the model', async () => {
    const { site, prompts } = await openWithdrawn(open);
    await chunksOf(await say(site, { id: 'm3', text: 'third' }));
    const history = (await (await site.fetch(`${site.api}/chat/t1`)).json()) as { messages: Array<{ id: string }> };
    expect(history.messages.map(({ id }) => id).filter((id) => id.startsWith('m') && !id.startsWith('msg_'))).toEqual([
      'm1',
      'm3',
    ]);
    expect(prompts.map(saidIn)).toEqual([['first'], ['first', 'third']]);
  });

  it('is no run of the thread for its readers', async () => {
    const { site, withdrawn } = await openWithdrawn(open);
    const tab = await site.fetch(`${site.api}/threads/t1/stream?after=start`);
    const begun: string[] = [];
    for await (const frame of framesOf(tab)) {
      if (frame.event === 'run') begun.push((JSON.parse(frame.data) as { runId: string }).runId);
      if (frame.event === 'thread') break;
    }
    expect(begun).toHaveLength(1);
    expect(begun).not.toContain(withdrawn);
  });

  it('leaves the answer before it the last one, which can be generated again', async () => {
    const { site } = await openWithdrawn(open);
    const again = await post(site, {
      id: 't1',
      trigger: 'regenerate-message',
      messages: [{ id: 'm1', role: 'user', parts: [{ type: 'text', text: 'first' }] }],
    });
    expect(again.status).toBe(200);
    expect((await allFrames(again)).length).toBeGreaterThan(0);
  });
});

it('a thread with more queued messages than a page holds has its active run', async () => {
  const { model } = scriptedModel([{ text: 'One', hold: new Promise<void>(() => {}) }]);
  const { runtime, api, fetch, close } = await openDirectly({ agents: { support: new DurableAgent({ model }) } });
  const first = await runtime.start('support', { thread: 't1', prompt: 'first' });
  for (let index = 0; index < 500; index += 1) {
    await runtime.start('support', { thread: 't1', prompt: 'later', whenBusy: 'queue' });
  }
  const controller = new AbortController();
  for await (const frame of framesOf(await fetch(`${api}/threads/t1/stream`), controller.signal)) {
    if (frame.event !== 'thread') continue;
    expect(JSON.parse(frame.data)).toMatchObject({ run: { id: first.id, status: 'running' } });
    break;
  }
  controller.abort();
  await close();
});
