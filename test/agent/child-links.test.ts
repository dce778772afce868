import { child, DurableAgent } from 'everturn';
import type { Store } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { tool } from 'ai';
import type { UIMessageChunk } from 'ai';
import { afterEach, expect, it } from 'vitest';
import { z } from 'zod';
import { allFrames, framesOf, openDirectly, say, textOf, toChunks } from '../server/kit.ts';
import type { Agents, Site } from '../server/kit.ts';
import { collect } from '../support/collect.ts';
import { scriptedModel, startRuntime } from './run-kit.ts';

const sites: Site[] = [];
afterEach(async () => {
  for (const site of sites.splice(0)) await site.close();
});

interface Link {
  runId: string;
  workflow: string;
  toolCallId: string;
}

function linksOf(chunks: readonly UIMessageChunk[]): Link[] {
  return chunks.flatMap((chunk) => (chunk.type === 'data-run' ? [chunk.data as Link] : []));
}

/** `answered`: how many turns of the agent are recorded already. */
function agentsOf({ hold, answered = 0 }: { hold?: Promise<void>; answered?: number }): Agents {
  const found = { text: 'It is 42.', ...(hold === undefined ? {} : { hold }) };
  const researcher = new DurableAgent({ model: scriptedModel([found]).model });
  const ask = tool({
    inputSchema: z.object({ question: z.string() }),
    execute: async ({ question }) => (await child<{ text: string }>('researcher', { prompt: question })).text,
  });
  const calls = [{ id: 'c1', name: 'ask', input: { question: 'what?' } }];
  const { model } = scriptedModel([{ text: 'Let me ask', calls }, { text: 'Done' }].slice(answered));
  return { support: new DurableAgent({ model, tools: { ask } }), researcher };
}

it('the stream of an agent links the runs that its tools start, and theirs can be read while they go on', async () => {
  let release = (): void => undefined;
  const hold = new Promise<void>((resolve) => (release = resolve));
  const site = await openDirectly({ agents: agentsOf({ hold }) }, { agent: 'support' });
  sites.push(site);
  const sent = await say(site);
  const read: UIMessageChunk[] = [];
  for await (const frame of framesOf(sent)) {
    if (frame.data === '[DONE]') break;
    read.push(JSON.parse(frame.data) as UIMessageChunk);
    const [link] = linksOf(read.slice(-1));
    if (link === undefined) continue;
    expect(link).toMatchObject({ workflow: 'researcher', toolCallId: 'c1' });
    const child = site.fetch(`${site.api}/chat/${link.runId}/stream?startIndex=0`);
    release();
    expect(textOf(toChunks(await allFrames(await child)))).toBe('It is 42.');
  }
  expect(linksOf(read)).toHaveLength(1);
  const history = (await (await site.fetch(`${site.api}/chat/t1`)).json()) as {
    messages: Array<{ parts: Array<{ type: string }> }>;
  };
  expect(history.messages[1]?.parts.filter(({ type }) => type === 'data-run')).toHaveLength(1);
});

it('a run that is taken over links its child once, as its message shows it', async () => {
  const inner = memoryStore();
  const store: Store = { ...inner, close: async () => undefined };
  const hold = new Promise<void>(() => undefined);
  const first = startRuntime({ store, agents: agentsOf({ hold }) });
  const run = await first.start('support', { id: 'run_1', prompt: 'Hello' });
  for await (const chunk of run.stream()) if ((chunk as UIMessageChunk).type === 'data-run') break;
  await first.close({ graceMs: 0 });
  const second = startRuntime({ store, agents: agentsOf({ answered: 1 }) });
  const chunks = (await collect(second.getRun('run_1').stream())) as UIMessageChunk[];
  const kept = chunks.slice(chunks.findLastIndex(({ type }) => type === 'reset-step') + 1);
  expect(linksOf(kept)).toHaveLength(1);
  expect(textOf(kept)).toBe('Let me askDone');
  await second.close({ graceMs: 0 });
});
