import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tool } from 'ai';
import type { UIMessage } from 'ai';
import { createRuntime, DurableAgent } from 'everturn';
import type { AgentResult, ApprovalLinks, Approvers, Runtime } from 'everturn';
import { createApp } from 'everturn/server';
import { sqliteStore } from 'everturn/sqlite';
import { scriptedModel } from 'everturn/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { recordingLogger, until } from '../agent/run-kit.ts';
import { everturn } from '../cli/everturn.ts';

const input = { order: 7, euros: 40 };

interface Life {
  runtime: Runtime;
  agent: DurableAgent<never, { refund: ReturnType<typeof refundTool> }>;
  request: (path: string, user: string, body?: unknown) => Promise<Response>;
}

function refundTool(refunds: unknown[]) {
  return tool({
    inputSchema: z.object({ order: z.number(), euros: z.number() }),
    execute: (given) => {
      refunds.push(given);
      return 'paid';
    },
  });
}

/** A file that outlives the processes on it. */
function openShop(approvers: Approvers) {
  const folder = mkdtempSync(join(tmpdir(), 'everturn-places-'));
  const file = join(folder, 'app.db');
  const refunds: unknown[] = [];
  const handed: ApprovalLinks[] = [];
  const lives: Runtime[] = [];
  onTestFinished(async () => {
    for (const life of lives) await life.close();
    rmSync(folder, { recursive: true });
  });
  const begin = (): Life => {
    const agent = new DurableAgent({
      model: scriptedModel(({ prompt }) =>
        prompt.at(-1)?.role === 'user' ? { toolCalls: [{ toolName: 'refund', input }] } : 'Done.',
      ),
      tools: { refund: refundTool(refunds) },
      toolApproval: { refund: 'user-approval' },
      durable: {
        approvals: { refund: { approvers, expiresIn: '1 day', remindAt: '1 hour' } },
        onApprovalRequested: async ({ approval }) => void handed.push(await approval.links({ to: 'ada' })),
      },
    });
    const runtime = createRuntime({
      store: sqliteStore(file),
      agents: { support: agent },
      publicUrl: 'http://localhost/api',
      logger: recordingLogger().logger,
    });
    lives.push(runtime);
    const app = createApp(runtime, {
      authorize: ({ headers }) => ({
        id: headers.get('x-user') ?? '',
        roles: headers.get('x-roles')?.split(',') ?? [],
      }),
    });
    const request: Life['request'] = async (path, user, body) =>
      app.request(`http://localhost/api${path}`, {
        headers: {
          'x-user': user,
          'x-roles': user === 'ada' ? 'staff,finance' : 'staff',
          'content-type': 'application/json',
        },
        ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      });
    return { runtime, agent, request };
  };
  return { file, refunds, handed, begin };
}

/** Asks, waits until nothing is left to do, and ends the process. */
async function ask({ begin, handed }: ReturnType<typeof openShop>): Promise<{ id: string; run: string }> {
  const { runtime, agent } = begin();
  const run = await runtime.start(agent, { prompt: 'Refund order 7', thread: 't', by: 'carl' });
  await until(() => handed.length > 0);
  await until(async () => (await run.status) === 'waiting');
  const id = (await runtime.approvals.list()).items[0]?.id ?? '';
  await runtime.close();
  return { id, run: run.id };
}

async function respondInChat({ request }: Life, user: string): Promise<Response> {
  const history = (await (await request('/chat/t', user)).json()) as { messages: UIMessage[] };
  const message = history.messages.at(-1);
  const parts = message?.parts.map((part) =>
    'approval' in part
      ? { ...part, state: 'approval-responded', approval: { ...part.approval, approved: true } }
      : part,
  );
  return request('/chat', user, { id: 't', messages: [{ ...message, parts }] });
}

describe('an approval whose processes have all ended is answered from a new one', () => {
  it.each<
    [from: string, answer: (life: Life, at: { id: string; file: string; links: ApprovalLinks }) => Promise<unknown>]
  >([
    ['code', ({ runtime }, { id }) => runtime.approvals.approve(id, { by: 'ada' })],
    ['api', ({ request }, { id }) => request(`/approvals/${id}/decision`, 'ada', { approved: true })],
    ['chat', (life) => respondInChat(life, 'ada')],
    ['link', ({ request }, { links }) => request(links.approve.replace('http://localhost/api', ''), '', {})],
    ['cli', (_, { id, file }) => everturn(file, ['approve', id, '--by', 'ada'])],
  ])('by %s', async (from, answer) => {
    const shop = openShop(['ada']);
    const { id, run } = await ask(shop);
    const [links] = shop.handed;
    if (links === undefined) throw new Error('nobody was told');
    const life = shop.begin();
    const answered = await answer(life, { id, file: shop.file, links });
    if (answered instanceof Response) expect(answered.status).toBe(200);
    expect((await life.runtime.getRun<AgentResult>(run).result()).text).toBe('Done.');
    expect(shop.refunds).toEqual([input]);
    expect(shop.handed).toHaveLength(1);
    const { audit, status } = await life.runtime.approvals.get(id);
    expect(status).toBe('approved');
    expect(audit.at(-1)).toMatchObject({ type: 'answered', by: 'ada', from, approved: true });
  });
});

describe('roles', () => {
  it('that authorize answers are what approvers are asked about, and a refusal has no effect', async () => {
    const shop = openShop(({ by }) => by.roles.includes('finance'));
    const { id, run } = await ask(shop);
    const life = shop.begin();
    const refused = [
      await life.request(`/approvals/${id}/decision`, 'ben', { approved: true }),
      await respondInChat(life, 'ben'),
      await life.request(`/approvals/${id}/decision`, 'carl', { approved: false }),
      await life.request(shop.handed[0]?.approve.replace('http://localhost/api', '') ?? '', '', {}),
    ];
    expect(refused.map(({ status }) => status)).toEqual([403, 403, 403, 403]);
    expect((await everturn(shop.file, ['approve', id, '--by', 'ada'])).stderr).toContain(
      'answer where the agent "support" is registered',
    );
    const { audit, status } = await life.runtime.approvals.get(id);
    expect(status).toBe('pending');
    expect(audit.filter(({ type }) => type === 'refused').map(({ by, from }) => [by, from])).toEqual([
      ['ben', 'api'],
      ['ben', 'chat'],
      ['carl', 'api'],
      ['ada', 'link'],
      ['ada', 'cli'],
    ]);
    expect(shop.refunds).toEqual([]);
    expect((await life.request(`/approvals/${id}`, 'ada')).status).toBe(200);
    expect((await life.request(`/approvals/${id}`, 'ada')).status).toBe(200);
    expect((await respondInChat(life, 'ada')).status).toBe(200);
    await life.runtime.getRun(run).result();
    expect(shop.refunds).toEqual([input]);
    const seen = (await life.runtime.approvals.get(id)).audit.filter(({ type }) => type === 'viewed');
    expect(seen).toMatchObject([{ by: 'ada', from: 'api' }]);
  });
});
