import { tool } from 'ai';
import { ask, DurableAgent } from 'everturn';
import { scriptedModel } from 'everturn/testing';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { overBothWays } from './kit.ts';
import type { Site } from './kit.ts';

const paint = tool({
  inputSchema: z.object({}),
  execute: () => ask({ prompt: 'Which colour?', options: ['red', 'blue'], metadata: { wall: 3 } }),
});
const painter = (): DurableAgent<never, { paint: typeof paint }> =>
  new DurableAgent({
    model: scriptedModel(({ toolResults }) =>
      'paint' in toolResults
        ? `It is ${String(toolResults['paint'])}.`
        : { toolCalls: [{ toolName: 'paint', input: {} }] },
    ),
    tools: { paint },
  });

async function json(site: Site, path: string, options: { body?: object; user?: string; tenant?: string } = {}) {
  const { body, user = 'ann', tenant } = options;
  const response = await site.fetch(`${site.api}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      'content-type': 'application/json',
      'x-user': user,
      ...(tenant === undefined ? {} : { 'x-tenant': tenant }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as never };
}

overBothWays('questions over HTTP', (open) => {
  async function asked(): Promise<{ site: Site; id: string }> {
    const site = await open({ agents: { painter: painter() } });
    await site.runtime.start('painter', { id: 'wall', prompt: 'Paint', thread: 't', tenant: 'acme' });
    await expect.poll(() => site.runtime.getRun('wall').status, { interval: 5 }).toBe('waiting');
    const { body } = await json(site, '/questions?thread=t', { tenant: 'acme' });
    const { items } = body as { items: Array<{ id: string }> };
    expect(items).toMatchObject([{ prompt: 'Which colour?', tool: 'paint', metadata: { wall: 3 }, status: 'pending' }]);
    return { site, id: items[0]?.id ?? '' };
  }

  it('are listed, read and answered in the name of the principal, once', async () => {
    const { site, id } = await asked();
    const path = `/questions/${id}`;
    const own = { tenant: 'acme' };
    const thread = await json(site, '/chat/t', own);
    expect(thread.body).toMatchObject({ run: { status: 'waiting', waits: [{ kind: 'question', questionId: id }] } });
    const wrong = await json(site, `${path}/answer`, { ...own, body: { answer: 'green' } });
    expect(wrong).toMatchObject({ status: 422, body: { error: { code: 'payload_invalid' } } });
    expect(await json(site, `${path}/answer`, { ...own, body: {} })).toMatchObject({
      status: 400,
      body: { error: { details: { field: 'answer' } } },
    });
    expect(await json(site, path, own)).toMatchObject({ status: 200, body: { status: 'pending' } });
    for (let times = 0; times < 2; times += 1) {
      expect(await json(site, `${path}/answer`, { ...own, body: { answer: 'blue' }, user: 'bea' })).toMatchObject({
        status: 200,
        body: { status: 'answered', answeredBy: 'bea' },
      });
    }
    expect(await json(site, `${path}/answer`, { ...own, body: { answer: 'red' }, user: 'carl' })).toMatchObject({
      status: 409,
      body: { error: { code: 'question_settled', details: { status: 'answered', by: 'bea' } } },
    });
    expect(await site.runtime.getRun('wall').result()).toMatchObject({ text: 'It is blue.' });
    expect((await json(site, '/questions?status=settled', own)).body).toMatchObject({ items: [{ id }] });
  });

  it('of another tenant are as those that do not exist, and no token resumes them', async () => {
    const { site, id } = await asked();
    for (const tenant of [{}, { tenant: 'other' }]) {
      expect(await json(site, '/questions', tenant)).toMatchObject({ body: { items: [] } });
      for (const body of [undefined, { answer: 'red' }]) {
        const given = { ...tenant, ...(body === undefined ? {} : { body }) };
        const suffix = body === undefined ? '' : '/answer';
        const foreign = await json(site, `/questions/${id}${suffix}`, given);
        const unknown = await json(site, `/questions/qst_0${suffix}`, given);
        expect(foreign.status).toBe(404);
        expect(JSON.stringify(foreign.body).replaceAll(id, 'qst_0')).toBe(JSON.stringify(unknown.body));
      }
    }
    expect(await json(site, `/hooks/${id}`, { body: { answer: 'red' } })).toMatchObject({ status: 404 });
    expect(await json(site, `/questions/${id}`, { tenant: 'acme' })).toMatchObject({ body: { status: 'pending' } });
  });
});
