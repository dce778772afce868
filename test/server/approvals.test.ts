import { DurableAgent } from 'everturn';
import { tool } from 'ai';
import type { UIMessage, UIMessageChunk } from 'ai';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { scriptedModel } from '../agent/run-kit.ts';
import type { Prompt } from '../agent/run-kit.ts';
import { chunksOf, messageOf, overBothWays, post, refusalOf, say, textOf } from './kit.ts';
import type { OpenSite, Site } from './kit.ts';

interface Refunds {
  site: Site;
  prompts: Prompt[];
  /** What the tool ran with. */
  refunded: unknown[];
}

/** An agent whose refunds a person approves; the model asks for one per amount, then says so. */
async function openRefunds(open: OpenSite, amounts: number[], settings: object = {}): Promise<Refunds> {
  const refunded: unknown[] = [];
  const calls = amounts.map((amount, index) => ({ id: `c${index}`, name: 'refund', input: { amount } }));
  const { model, prompts } = scriptedModel([{ text: 'One moment.', calls }, { text: 'All done' }, { text: 'More' }]);
  const refund = tool({
    inputSchema: z.object({ amount: z.number().max(1_000) }),
    execute: async (input) => {
      refunded.push(input.amount);
      return { refunded: input.amount };
    },
  });
  const agent = new DurableAgent({ model, tools: { refund }, toolApproval: { refund: 'user-approval' }, ...settings });
  return { site: await open({ agents: { support: agent } }), prompts, refunded };
}

interface Approval {
  id: string;
  toolCallId: string;
  status: string;
}

async function pendingOf(site: Site): Promise<Approval[]> {
  const response = await site.fetch(`${site.api}/approvals`);
  return ((await response.json()) as { items: Approval[] }).items;
}

function decide(site: Site, id: string, decision: object, user = 'ann'): Promise<Response> {
  return post(site, decision, { path: `/approvals/${id}/decision`, headers: { 'x-user': user } });
}

/** The message as a stock client sends it back. */
function respond(message: UIMessage, approved: boolean): UIMessage {
  const parts = message.parts.map((part) =>
    'approval' in part && part.state === 'approval-requested'
      ? { ...part, state: 'approval-responded' as const, approval: { ...part.approval, approved } }
      : part,
  );
  return { ...message, parts };
}

async function ask(site: Site): Promise<{ chunks: UIMessageChunk[]; message: UIMessage }> {
  const chunks = await chunksOf(await say(site));
  const message = await messageOf(chunks);
  if (message === undefined) throw new Error('There is no message.');
  return { chunks, message };
}

overBothWays('approvals', (open) => {
  it('end the response with a finish that is not stored, and the decision continues the same message', async () => {
    const { site, refunded } = await openRefunds(open, [5]);
    const { chunks, message } = await ask(site);
    expect(chunks.at(-1)).toEqual({ type: 'finish' });
    expect(refunded).toEqual([]);
    const answer = await post(site, { id: 't1', messages: [respond(message, true)] });
    expect(answer.headers.get('x-workflow-run-id')).toBe(`${message.id.slice('msg_'.length)}~${chunks.length - 1}`);
    const rest = await chunksOf(answer);
    expect(rest[0]).toMatchObject({ type: 'tool-approval-response', approved: true });
    expect(rest.some(({ type }) => type === 'start')).toBe(false);
    expect(rest.at(-1)).toMatchObject({ type: 'finish', finishReason: 'stop' });
    expect(refunded).toEqual([5]);
    const whole = await messageOf(rest, message);
    expect(whole?.id).toBe(message.id);
    const history = (await (await site.fetch(`${site.api}/chat/t1`)).json()) as { messages: UIMessage[] };
    expect(history.messages.at(-1)?.parts.at(-1)).toMatchObject({ type: 'text', text: 'All done' });
  });

  it('a repeated decision finds its stream, another one learns who decided', async () => {
    const { site, refunded } = await openRefunds(open, [5]);
    const { message } = await ask(site);
    const approved = { id: 't1', messages: [respond(message, true)] };
    const first = await chunksOf(await post(site, approved));
    expect(await chunksOf(await post(site, approved))).toEqual(first);
    const denied = await post(site, { id: 't1', messages: [respond(message, false)] });
    expect(await refusalOf(denied)).toMatchObject({
      status: 409,
      code: 'approval_decided',
      details: { by: 'ann', status: 'approved' },
    });
    expect(refunded).toEqual([5]);
  });

  it('a waiting thread is whole in its history, says what it waits for, and has nothing to resume', async () => {
    const { site } = await openRefunds(open, [5]);
    const { message, chunks } = await ask(site);
    const history = (await (await site.fetch(`${site.api}/chat/t1`)).json()) as {
      messages: UIMessage[];
      cursor: string;
      run: { status: string; waits: Array<Record<string, unknown>> };
    };
    expect(history.messages.at(-1)).toEqual(message);
    expect(history.run).toMatchObject({
      status: 'waiting',
      waits: [{ kind: 'approval', tool: 'refund', input: { amount: 5 } }],
    });
    expect(history.cursor.endsWith(`~${String(chunks.length - 1).padStart(16, '0')}`)).toBe(true);
    expect((await site.fetch(`${site.api}/chat/t1/stream`)).status).toBe(204);
  });

  it('a denial with its reason reaches the model', async () => {
    const { site, prompts, refunded } = await openRefunds(open, [5]);
    await ask(site);
    const [approval] = await pendingOf(site);
    const response = await decide(site, approval?.id ?? '', { approved: false, reason: 'too much' });
    expect(await response.json()).toMatchObject({ status: 'denied', answers: [{ by: 'ann', approved: false }] });
    await site.runtime.getRun((await site.runtime.list({})).items[0]?.id ?? '').result();
    expect(JSON.stringify(prompts[1])).toContain('too much');
    expect(refunded).toEqual([]);
  });

  it('an edited input is what the tool runs with; one that does not fit is refused with the field', async () => {
    const { site, prompts, refunded } = await openRefunds(open, [5]);
    await ask(site);
    const [approval] = await pendingOf(site);
    const bad = await refusalOf(await decide(site, approval?.id ?? '', { approved: true, input: { amount: 'much' } }));
    expect(bad).toMatchObject({ status: 422, code: 'payload_invalid', details: { issues: [{ path: 'amount' }] } });
    expect((await decide(site, approval?.id ?? '', { approved: true, input: { amount: 3 } })).status).toBe(200);
    await site.runtime.getRun((await site.runtime.list({})).items[0]?.id ?? '').result();
    expect(refunded).toEqual([3]);
    expect(JSON.stringify(prompts[1])).toContain('3');
  });

  it('somebody who is not among the approvers may not decide', async () => {
    const durable = { approvals: { refund: { approvers: ['boss'] } } };
    const { site, refunded } = await openRefunds(open, [5], { durable });
    await ask(site);
    const [approval] = await pendingOf(site);
    const refused = await refusalOf(await decide(site, approval?.id ?? '', { approved: true }, 'intern'));
    expect(refused).toMatchObject({ status: 403, code: 'forbidden', details: { approvers: ['boss'], by: 'intern' } });
    expect((await decide(site, approval?.id ?? '', { approved: true }, 'boss')).status).toBe(200);
    await site.runtime.getRun((await site.runtime.list({})).items[0]?.id ?? '').result();
    expect(refunded).toEqual([5]);
  });

  it('a decision whose answer was lost is sent again and is the same; any other learns who decided', async () => {
    const { site, refunded } = await openRefunds(open, [5]);
    await ask(site);
    const [{ id } = { id: '' }] = await pendingOf(site);
    const said = { approved: true, reason: 'fine', input: { amount: 4 } };
    const [first, again] = await Promise.all([decide(site, id, said), decide(site, id, said)]);
    const late = await decide(site, id, said);
    expect([first.status, again.status, late.status]).toEqual([200, 200, 200]);
    expect(await late.json()).toMatchObject({ status: 'approved', answers: [{ by: 'ann', approved: true }] });
    for (const [other, user] of [
      [{ approved: false }, 'ann'],
      [{ approved: true, input: { amount: 3 } }, 'ann'],
      [said, 'ben'],
    ] as const) {
      expect(await refusalOf(await decide(site, id, other, user))).toMatchObject({
        status: 409,
        code: 'approval_decided',
        details: { by: 'ann' },
      });
    }
    await site.fetch(`${site.api}/chat/t1/stream`);
    const record = (await (await site.fetch(`${site.api}/approvals/${id}`)).json()) as { audit: object[] };
    expect(record.audit.filter((entry) => 'type' in entry && entry.type === 'answered')).toHaveLength(1);
    expect(record.audit.filter((entry) => 'type' in entry && entry.type === 'refused')).toHaveLength(3);
    await expect.poll(() => refunded).toEqual([4]);
  });

  it('one of two who must approve may send it again, and still counts once', async () => {
    const { site, refunded } = await openRefunds(open, [5], { durable: { approvals: { refund: { needed: 2 } } } });
    await ask(site);
    const [{ id } = { id: '' }] = await pendingOf(site);
    for (let n = 0; n < 2; n += 1) {
      const answer = await decide(site, id, { approved: true }, 'ben');
      expect([answer.status, await answer.json()]).toMatchObject([
        200,
        { status: 'pending', answers: [{ by: 'ben' }] },
      ]);
    }
    expect(await refusalOf(await decide(site, id, { approved: false }, 'ben'))).toMatchObject({ status: 409 });
    expect(refunded).toEqual([]);
    expect(await (await decide(site, id, { approved: true }, 'cleo')).json()).toMatchObject({ status: 'approved' });
  });

  it('a hundred racing decisions have one winner, and the others are told who won', async () => {
    const { site, refunded } = await openRefunds(open, [5]);
    await ask(site);
    const [approval] = await pendingOf(site);
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        decide(site, approval?.id ?? '', { approved: index % 2 === 0 }, `user_${index}`),
      ),
    );
    const winners = answers.filter(({ status }) => status === 200);
    expect(winners).toHaveLength(1);
    const won = (await winners[0]?.json()) as { answers: Array<{ by: string; approved: boolean }> };
    const refusals = await Promise.all(answers.filter(({ status }) => status !== 200).map(refusalOf));
    expect(refusals).toHaveLength(99);
    for (const { status, code, details } of refusals) {
      expect([status, code, details['by']]).toEqual([409, 'approval_decided', won.answers[0]?.by]);
    }
    await site.runtime.getRun((await site.runtime.list({})).items[0]?.id ?? '').result();
    expect(refunded).toEqual(won.answers[0]?.approved === true ? [5] : []);
  });

  it('five pending approvals answered by five clients in any order: each call gets its own', async () => {
    const { site, refunded, prompts } = await openRefunds(open, [10, 20, 30, 40, 50]);
    await ask(site);
    const pending = await pendingOf(site);
    expect(pending).toHaveLength(5);
    const shuffled = pending.toSorted((a, b) => a.id.localeCompare(b.id));
    await Promise.all(
      shuffled.map(({ id, toolCallId }) => {
        const index = Number(toolCallId.slice(1));
        const decision =
          index % 2 === 0
            ? { approved: true, input: { amount: index + 1 } }
            : { approved: false, reason: `no ${index}` };
        return decide(site, id, decision, `user_${index}`);
      }),
    );
    await site.runtime.getRun((await site.runtime.list({})).items[0]?.id ?? '').result();
    expect(new Set(refunded)).toEqual(new Set([1, 3, 5]));
    const results = (prompts[1] ?? []).flatMap((message) => (message.role === 'tool' ? message.content : []));
    const said = new Map(
      results.map((part) => [part.type === 'tool-result' ? part.toolCallId : '', JSON.stringify(part)]),
    );
    expect(said.get('c0')).toContain('"refunded":1');
    expect(said.get('c1')).toContain('no 1');
    expect(said.get('c2')).toContain('"refunded":3');
    expect(said.get('c3')).toContain('no 3');
    expect(said.get('c4')).toContain('"refunded":5');
  });

  it('with one of two answered the response ends again, and the stream holds the first decision', async () => {
    const { site, refunded } = await openRefunds(open, [1, 2]);
    const { message, chunks } = await ask(site);
    const [second, first] = await pendingOf(site);
    await decide(site, first?.id ?? '', { approved: true });
    const handle = `${message.id.slice('msg_'.length)}~${chunks.length - 1}`;
    const rest = await chunksOf(await site.fetch(`${site.api}/chat/${handle}/stream?startIndex=0`));
    expect(rest.map(({ type }) => type)).toEqual(['tool-approval-response', 'finish']);
    await decide(site, second?.id ?? '', { approved: true });
    await site.runtime.getRun(message.id.slice('msg_'.length)).result();
    expect(new Set(refunded)).toEqual(new Set([1, 2]));
    expect(textOf(await chunksOf(await site.fetch(`${site.api}/chat/${handle}/stream?startIndex=0`)))).toBe('All done');
  });
});

overBothWays('client-side tools', (open) => {
  it('bring their output with the next message', async () => {
    const { model, prompts } = scriptedModel([
      { calls: [{ id: 'c1', name: 'locate', input: {} }] },
      { text: 'You are in Rome' },
    ]);
    const locate = tool({ inputSchema: z.object({}), outputSchema: z.string() });
    const site = await open({ agents: { support: new DurableAgent({ model, tools: { locate } }) } });
    const { message, chunks } = await ask(site);
    expect(chunks.at(-1)).toEqual({ type: 'finish' });
    const parts = message.parts.map((part) =>
      part.type === 'tool-locate' ? { ...part, state: 'output-available' as const, output: 'Rome' } : part,
    );
    const answered = { id: 't1', messages: [{ ...message, parts }] };
    const rest = await chunksOf(await post(site, answered));
    expect(textOf(rest)).toBe('You are in Rome');
    expect(JSON.stringify(prompts[1])).toContain('Rome');
    expect(await chunksOf(await post(site, answered))).toEqual(rest);
    expect(prompts).toHaveLength(2);
  });
});
