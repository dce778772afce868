import type { UIMessageChunk } from 'ai';
import type { Approval } from 'everturn';
import type { AccessRequest } from 'everturn/server';
import { afterEach, describe, expect, it } from 'vitest';
import { cardsOf, FORMS, treeOf } from '../approvals/inner-kit.ts';
import { until } from '../agent/run-kit.ts';
import { byHeaders, framesOf, openDirectly, post, say } from './kit.ts';
import type { Site } from './kit.ts';

const sites: Site[] = [];
afterEach(async () => {
  for (const site of sites.splice(0)) await site.close();
});

const PATH = ['support', 'research', 'ops', 'shell'];
const ACME = { 'x-tenant': 'acme', 'x-user': 'eve' };

async function openTree(forms: (typeof FORMS)[number]) {
  const asked: AccessRequest[] = [];
  const tree = treeOf({ forms, commands: ['rm a'] });
  const site = await openDirectly(
    { agents: tree.agents },
    { agent: 'support', authorize: (request, access) => (asked.push(access), byHeaders(request, access)) },
  );
  sites.push(site);
  const get = (path: string, headers: Record<string, string> = ACME): Promise<Response> =>
    site.fetch(`${site.api}${path}`, { headers });
  return { ...tree, site, asked, get };
}

describe.each(FORMS)('an approval of an agent below, %s above %s', (...forms) => {
  it('is a part of the stream at the top, which stays open until it is decided by its id', async () => {
    const { site, asked, get, ran } = await openTree(forms);
    const response = await say(site, {}, { headers: ACME });
    const chunks: UIMessageChunk[] = [];
    const rootOf = (): string => response.headers.get('x-workflow-run-id')?.split('~')[0] ?? '';
    let answered: Response | undefined;
    for await (const { data } of framesOf(response)) {
      if (data === '[DONE]') break;
      chunks.push(JSON.parse(data) as UIMessageChunk);
      const [card] = cardsOf(chunks);
      if (card === undefined || answered !== undefined) continue;
      expect(card.data).toMatchObject({
        status: 'pending',
        path: PATH,
        input: { command: 'rm a' },
        requestedBy: 'eve',
      });
      const waiting = await until(async () => {
        const { run } = (await (await get('/chat/t1')).json()) as { run: { status: string; waits: unknown[] } };
        return run.status === 'waiting' && run.waits.length > 0 && run;
      });
      expect(waiting.waits).toMatchObject([{ kind: 'approval', approvalId: card.id, path: PATH, isInner: true }]);
      const listed = (await (await get('/approvals?thread=t1')).json()) as { items: Approval[] };
      expect(listed.items).toMatchObject([{ id: card.id, path: PATH, root: rootOf(), thread: 't1' }]);
      const strangers = { 'x-tenant': 'globex' };
      expect((await get(`/approvals/${card.id}`, strangers)).status).toBe(404);
      const forged = await post(
        site,
        { approved: true },
        { path: `/approvals/${card.id}/decision`, headers: strangers },
      );
      expect(forged.status).toBe(404);
      expect(ran).toEqual(['list']);
      asked.length = 0;
      const path = `/approvals/${card.id}/decision`;
      answered = await post(site, { approved: true }, { path, headers: { ...ACME, 'x-user': 'ada' } });
      expect(asked).toEqual([
        { action: 'approval.decide', approvalId: card.id },
        { action: 'approval.decide', approvalId: card.id, runId: rootOf(), threadId: 't1' },
      ]);
    }
    expect(answered?.status).toBe(200);
    expect(cardsOf(chunks).map(({ data }) => data.status)).toEqual(['pending', 'approved']);
    expect(chunks.at(-1)?.type).toBe('finish');
    expect(ran).toEqual(['list', 'rm a']);
  });
});
