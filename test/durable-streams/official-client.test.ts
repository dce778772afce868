import { stream } from '@durable-streams/client';
import { DurableAgent } from 'everturn';
import type { UIMessageChunk } from 'ai';
import { afterEach, describe, expect, it } from 'vitest';
import { scriptedModel } from '../agent/run-kit.ts';
import { openSocket, say, textOf } from '../server/kit.ts';
import type { Site } from '../server/kit.ts';
import { collect } from '../support/collect.ts';

const WORDS = Array.from({ length: 200 }, (_, index) => `word${index} `).join('');

const sites: Site[] = [];
afterEach(async () => {
  for (const site of sites.splice(0)) await site.close();
});

/** An agent that has said the half of its answer, and goes on when it is let. */
async function openTalk(): Promise<{ url: string; runId: string; site: Site; release: () => void }> {
  let release = (): void => undefined;
  const hold = new Promise<void>((resolve) => (release = resolve));
  const { model } = scriptedModel([{ text: WORDS, hold }]);
  const site = await openSocket({ agents: { support: new DurableAgent({ model }) } });
  sites.push(site);
  const sent = await say(site, {}, { headers: { accept: 'application/json' } });
  const { runId } = (await sent.json()) as { runId: string };
  return { url: `${site.api}/runs/${runId}/streams/default`, runId, site, release };
}

async function stored({ site, runId }: { site: Site; runId: string }): Promise<unknown[]> {
  return collect(site.runtime.getRun(runId).stream({ follow: false }));
}

describe("the Durable Streams client reads an agent's stream", () => {
  it.each(['sse', 'long-poll'] as const)('while it is written, by %s, to its end', async (live) => {
    const talk = await openTalk();
    const response = await stream<UIMessageChunk>({ url: talk.url, offset: '-1', live });
    const read: UIMessageChunk[] = [];
    for await (const chunk of response.jsonStream()) {
      read.push(chunk);
      if (chunk.type === 'text-delta' && chunk.delta.startsWith('word5 ')) talk.release();
    }
    expect(textOf(read)).toBe(WORDS);
    expect(read).toEqual(await stored(talk));
    expect(response.streamClosed).toBe(true);
  });

  it('after it has ended, and the rest of it from the offset of a part', async () => {
    const talk = await openTalk();
    talk.release();
    await talk.site.runtime.getRun(talk.runId).result();
    const whole = await (await stream<UIMessageChunk>({ url: talk.url, live: false })).json();
    expect(whole).toEqual(await stored(talk));
    const rest = await stream<UIMessageChunk>({ url: talk.url, offset: '0000000000000100', live: false });
    expect(await rest.json()).toEqual(whole.slice(100));
    expect(rest.streamClosed).toBe(true);
  });
});
