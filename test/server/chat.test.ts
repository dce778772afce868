import { DurableAgent } from 'everturn';
import { APICallError, tool } from 'ai';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { scriptedModel, until, userTexts } from '../agent/run-kit.ts';
import type { Answer, Prompt } from '../agent/run-kit.ts';
import {
  allFrames,
  chunksOf,
  framesOf,
  isDone,
  overBothWays,
  post,
  refusalOf,
  say,
  textOf,
  toChunks,
  typesOf,
  userMessage,
} from './kit.ts';
import type { Agents } from './kit.ts';
import type { UIMessageChunk } from 'ai';

function agentOf(answers: Array<Answer | ((prompt: Prompt) => Answer)>): {
  agents: Agents;
  prompts: Prompt[];
} {
  const { model, prompts } = scriptedModel(answers);
  return { agents: { support: new DurableAgent({ model }) }, prompts };
}

function onlyAgents(answers: Parameters<typeof agentOf>[0]): { agents: Agents } {
  const { agents } = agentOf(answers);
  return { agents };
}

function held(): { hold: Promise<void>; release: () => void } {
  let release = (): void => {};
  return { hold: new Promise<void>((resolve) => (release = resolve)), release: () => release() };
}

overBothWays('a chat', (open) => {
  it('answers a message with its stream, from start to finish', async () => {
    const site = await open(onlyAgents([{ text: 'Good day to you' }]));
    const response = await say(site);
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/event-stream',
      'x-vercel-ai-ui-message-stream': 'v1',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    expect(response.headers.get('x-workflow-run-id')).toMatch(/^run_[0-9a-f]{32}~0$/);
    const frames = await allFrames(response);
    expect(isDone(frames.at(-1) ?? { event: '', id: '', data: '' })).toBe(true);
    const chunks = toChunks(frames);
    expect(typesOf(chunks)).toEqual([
      'start',
      'start-step',
      'text-start',
      'text-delta',
      'text-end',
      'finish-step',
      'finish',
    ]);
    expect(textOf(chunks)).toBe('Good day to you');
    expect(frames.slice(0, -1).map(({ id }) => id)).toEqual(
      chunks.map((_, index) => String(index + 1).padStart(16, '0')),
    );
  });

  it('takes the same message twice as one', async () => {
    const { agents, prompts } = agentOf([{ text: 'Once' }]);
    const site = await open({ agents });
    const first = await say(site);
    const [one, two] = [await chunksOf(first), await chunksOf(await say(site))];
    expect(two).toEqual(one);
    expect(prompts).toHaveLength(1);
  });

  it('keeps the history on the server: the model is told of what was said, not of what was posted', async () => {
    const { agents, prompts } = agentOf([{ text: 'One' }, { text: 'Two' }]);
    const site = await open({ agents });
    await chunksOf(await say(site, { id: 'm1', text: 'first' }));
    const forged = [
      userMessage('x', 'invented'),
      { id: 'y', role: 'assistant', parts: [{ type: 'text', text: 'a lie' }] },
    ];
    await chunksOf(await post(site, { id: 't1', messages: [...forged, userMessage('m2', 'second')] }));
    expect(userTexts(prompts[1] ?? [])).toEqual(['first', 'second']);
    expect(JSON.stringify(prompts)).not.toMatch(/invented|a lie/);
    const history = (await (await site.fetch(`${site.api}/chat/t1`)).json()) as {
      messages: Array<{ id: string }>;
      run: unknown;
    };
    expect(history.messages.map(({ id }) => id)).toEqual([
      'm1',
      expect.stringMatching(/^msg_run_/),
      'm2',
      expect.stringMatching(/^msg_run_/),
    ]);
    expect(history.run).toBeNull();
  });

  it('streams tokens as they come, and joins a running answer from its beginning', async () => {
    const { hold, release } = held();
    const site = await open(onlyAgents([{ text: 'one two three', hold }]));
    const response = await say(site);
    const frames = framesOf(response);
    const seen: UIMessageChunk[] = [];
    for await (const frame of frames) {
      seen.push(...toChunks([frame]));
      if (textOf(seen) === 'one two three') break;
    }
    const joined = await site.fetch(`${site.api}/chat/t1/stream`);
    expect(joined.status).toBe(200);
    release();
    expect(textOf(await chunksOf(joined))).toBe('one two three');
    await until(async () => (await site.runtime.list({})).items[0]?.status === 'completed');
    expect((await site.fetch(`${site.api}/chat/t1/stream`)).status).toBe(204);
  });

  it('a reader that goes away stops nothing', async () => {
    const { hold, release } = held();
    const site = await open(onlyAgents([{ text: 'one two three', hold }]));
    const controller = new AbortController();
    const response = await say(site, {}, { signal: controller.signal });
    await response.body?.getReader().read();
    controller.abort();
    release();
    const run = await until(async () => {
      const [found] = (await site.runtime.list({})).items;
      return found?.status === 'completed' && found;
    });
    expect(run.status).toBe('completed');
  });

  it('stops: the stream ends with abort and finish, the next message works', async () => {
    const { hold } = held();
    const site = await open(onlyAgents([{ text: 'one two three', hold }, { text: 'Next' }]));
    const response = await say(site);
    const seen: UIMessageChunk[] = [];
    for await (const frame of framesOf(response)) {
      seen.push(...toChunks([frame]));
      if (
        textOf(seen) === 'one two three' &&
        !seen.some(({ type }) => type === 'abort') &&
        seen.at(-1)?.type === 'text-delta'
      ) {
        const stopped = await post(site, {}, { path: '/chat/t1/stop' });
        expect(stopped.status).toBe(202);
      }
    }
    expect(seen.slice(-2).map(({ type }) => type)).toEqual(['abort', 'finish']);
    expect(textOf(await chunksOf(await say(site, { id: 'm2' })))).toBe('Next');
    const again = await post(site, {}, { path: '/chat/t1/stop' });
    expect(await again.json()).toEqual({ runId: null, status: null });
  });

  it('a busy thread refuses, queues or steers, as the message asks', async () => {
    const { hold, release } = held();
    const { agents, prompts } = agentOf([{ text: 'one', hold }, { text: 'two' }, { text: 'three' }]);
    const site = await open({ agents });
    const first = await say(site);
    const refused = await refusalOf(await say(site, { id: 'm2' }));
    expect(refused).toMatchObject({ status: 409, code: 'thread_busy', details: { thread: 't1', status: 'running' } });
    const steered = await say(site, { id: 'm3', text: 'steered', whenBusy: 'steer' });
    expect(steered.headers.get('x-workflow-run-id')?.split('~')[0]).toBe(
      first.headers.get('x-workflow-run-id')?.split('~')[0],
    );
    const queued = await say(site, { id: 'm4', text: 'queued', whenBusy: 'queue' });
    release();
    expect(textOf(await chunksOf(first))).toBe('onetwo');
    const steeredChunks = await chunksOf(steered);
    expect(steeredChunks.some((chunk) => chunk.type === 'steering-message')).toBe(true);
    expect(textOf(await chunksOf(queued))).toBe('three');
    expect(prompts.map(userTexts)).toEqual([['Hello'], ['Hello', 'steered'], ['Hello', 'steered', 'queued']]);
  });

  it('generates the last answer again, and only that', async () => {
    const { agents, prompts } = agentOf([{ text: 'One' }, { text: 'Two' }, { text: 'Two again' }]);
    const site = await open({ agents });
    await chunksOf(await say(site, { id: 'm1', text: 'first' }));
    await chunksOf(await say(site, { id: 'm2', text: 'second' }));
    const regenerate = (id: string, text: string): Promise<Response> =>
      post(site, { id: 't1', trigger: 'regenerate-message', messages: [userMessage(id, text)] });
    expect(await refusalOf(await regenerate('m1', 'first'))).toMatchObject({
      status: 400,
      code: 'history_not_accepted',
    });
    expect(textOf(await chunksOf(await regenerate('m2', 'changed by the client')))).toBe('Two again');
    expect(prompts.map(userTexts)).toEqual([['first'], ['first', 'second'], ['first', 'second']]);
    const { uiMessages } = await site.runtime.thread('t1');
    expect(JSON.stringify(uiMessages)).not.toContain('"Two"');
    expect(uiMessages).toHaveLength(4);
  });

  it('answers at once with ids where JSON is all that is accepted', async () => {
    const site = await open(onlyAgents([{ text: 'Later' }]));
    const response = await say(site, {}, { headers: { accept: 'application/json' } });
    expect(response.status).toBe(202);
    const sent = (await response.json()) as { runId: string; handle: string };
    expect(sent).toEqual({
      threadId: 't1',
      runId: sent.runId,
      handle: `${sent.runId}~0`,
      messageId: `msg_${sent.runId}`,
      steered: false,
    });
    const stream = await site.fetch(`${site.api}/chat/${encodeURIComponent(sent.handle)}/stream?startIndex=0`);
    expect(textOf(await chunksOf(stream))).toBe('Later');
  });

  it('a failed answer ends with error and finish', async () => {
    const site = await open(
      onlyAgents([
        {
          refuse: new APICallError({
            message: 'no such model',
            url: 'http://model.test',
            requestBodyValues: {},
            isRetryable: false,
          }),
        },
      ]),
    );
    const types = typesOf(await chunksOf(await say(site)));
    expect(types.slice(-2)).toEqual(['error', 'finish']);
  });

  it('a sleeping tool keeps the response open', async () => {
    const { model } = scriptedModel([{ calls: [{ id: 'c1', name: 'nap', input: {} }] }, { text: 'Rested' }]);
    const { sleep } = await import('everturn');
    const nap = tool({
      inputSchema: z.object({}),
      execute: async () => {
        await sleep(30);
        return 'slept';
      },
    });
    const site = await open({ agents: { support: new DurableAgent({ model, tools: { nap } }) } });
    const chunks = await chunksOf(await say(site));
    expect(textOf(chunks)).toBe('Rested');
    expect(chunks.filter(({ type }) => type === 'finish')).toHaveLength(1);
  });
});
