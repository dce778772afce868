import { createApp } from 'everturn/server';
import { sqliteStore } from 'everturn/sqlite';
import type { ApprovalLinks } from 'everturn';
import { expect, it, onTestFinished, vi } from 'vitest';
import { callEverturn } from '../cli/everturn.ts';
import { storeFolder } from '../stores/sqlite-file.ts';
import { createWorker, start } from './kit.ts';

/** A run that waits for a word about its budget, on a file that others may open. */
async function openQuestion() {
  const folder = storeFolder();
  onTestFinished(() => folder.remove());
  const handed: ApprovalLinks[] = [];
  const worker = createWorker({
    turns: [1, 0],
    durable: {
      budget: { turns: 1, approval: { prompt: ({ raise }) => `May it go on? ${JSON.stringify(raise)}` } },
      onApprovalRequested: async ({ approval }) => void handed.push(await approval.links({ to: 'ada' })),
    },
  });
  const runtime = start(worker, { store: sqliteStore(folder.path), publicUrl: 'https://shop.example/api' });
  const app = createApp(runtime, { authorize: () => ({ id: 'ada' }) });
  const run = await runtime.start(worker.agent, { id: 'r', prompt: 'dig', thread: 't' });
  const { id } = await runtime.pendingApproval(run);
  await vi.waitFor(() => expect(handed).toHaveLength(1));
  await runtime.until(run, 'waiting');
  const request = async (path: string, body?: unknown): Promise<Response> =>
    app.request(`https://shop.example/api${path}`, {
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      headers: { 'content-type': 'application/json' },
    });
  return { folder, worker, runtime, run, id, request, app, links: handed[0] };
}

it('is shown to whoever chats, and answered over HTTP with a choice', async () => {
  const { run, id, request } = await openQuestion();
  const { run: active } = (await (await request('/chat/t')).json()) as { run: { waits: Array<{ kind: string }> } };
  expect(active.waits.filter((wait) => wait.kind === 'approval')).toMatchObject([
    {
      kind: 'approval',
      approvalId: id,
      question: 'budget',
      tool: 'budget',
      prompt: 'May it go on? {"turns":1}',
      input: { raise: { turns: 1 } },
      inputSchema: { properties: { raise: { properties: { turns: { type: 'number' } } } } },
      budget: { crossed: [{ of: 'run', limit: 'turns', used: 1, allowed: 1 }], proposed: { turns: 1 }, models: [] },
    },
  ]);
  const refused = await request(`/approvals/${id}/decision`, { approved: true, input: { raise: { usd: 1 } } });
  expect([refused.status, await refused.json()]).toMatchObject([422, { error: { code: 'payload_invalid' } }]);
  const answered = await request(`/approvals/${id}/decision`, { approved: true, input: { raise: { turns: 3 } } });
  expect(await answered.json()).toMatchObject({ status: 'approved', answers: [{ by: 'ada' }] });
  expect(await run.result()).toMatchObject({ budget: { answers: [{ by: 'ada', raise: { turns: 3 } }] } });
});

it('is answered by a link, which raises what was proposed', async () => {
  const { run, app, links } = await openQuestion();
  const page = await app.request(links?.approve ?? '');
  expect(await page.text()).toContain('May it go on?');
  const headers = { 'content-type': 'application/x-www-form-urlencoded', origin: 'https://shop.example' };
  const answered = await app.request(links?.approve ?? '', { method: 'POST', body: '', headers });
  expect(answered.status).toBe(200);
  expect(await run.result()).toMatchObject({ budget: { answers: [{ by: 'ada', raise: { turns: 1 } }] } });
});

it('is answered from the command line, by another process than the one that asks', async () => {
  const { folder, run, id, runtime, worker } = await openQuestion();
  const of = ['--store', folder.path];
  expect((await callEverturn(['inspect', 'runs', ...of])).stdout).toContain('a word about its budget');
  const answered = await callEverturn(['approve', id, '--by', 'bob', '--input', '{"raise":{"turns":2}}', ...of]);
  expect(answered.stdout).toBe(
    'The budget of run r is raised by bob: {"raise":{"turns":2}}. A worker of worker goes on with it.\n',
  );
  await runtime.restart();
  expect(await run.result()).toMatchObject({ text: 'All dug.', budget: { answers: [{ by: 'bob' }] } });
  const audit = (await runtime.approvals.get(id)).audit.map(({ type, by, from }) => [type, by, from]);
  expect(audit).toContainEqual(['answered', 'bob', 'cli']);
  expect(worker.asked).toHaveLength(2);
});

it('is stopped from the command line', async () => {
  const { folder, run, id, runtime } = await openQuestion();
  const answered = await callEverturn(['deny', id, '--by', 'bob', '--reason', 'enough', '--store', folder.path]);
  expect(answered.stdout).toBe('Run r is stopped at its budget by bob.\n');
  await runtime.restart();
  expect(await run.result()).toMatchObject({ budget: { stopped: { by: 'bob', reason: 'enough' } } });
});
