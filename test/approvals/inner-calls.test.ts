import type { AgentResult } from 'everturn';
import type { TestRuntime } from 'everturn/testing';
import { createTestRuntime } from 'everturn/testing';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { approvalOf, cardsOf, commandOf, FORMS, openTree, treeOf } from './inner-kit.ts';
import type { Form } from './inner-kit.ts';
import { chunksOf, DAY, HOUR } from './kit.ts';

/** Codes of the errors that tools ended with, in all runs. */
async function codesOf(runtime: TestRuntime): Promise<string[]> {
  const { items } = await runtime.list();
  const events = await Promise.all(items.map(({ id }) => runtime.getRun(id).events()));
  return events.flat().flatMap(({ type, value }) => (type === 'tool_failed' ? [(value as { code: string }).code] : []));
}

const PATH = ['support', 'research', 'ops', 'shell'];

describe.each(FORMS)('an approval three agents deep, %s above %s', (...forms) => {
  it('is shown at the top with its path, and its answer resumes only its own call', async () => {
    const { runtime, agents, ran, told } = openTree({ forms });
    const run = await runtime.start(agents.support, { prompt: 'Go', id: 'run_1', thread: 't1', by: 'eve' });
    await runtime.clock.settleAll();
    const { items } = await runtime.approvals.list({ thread: 't1' });
    expect(items.map(commandOf).toSorted()).toEqual(['rm a', 'rm b']);
    expect(items[0]).toMatchObject({ path: PATH, root: 'run_1', thread: 't1', requestedBy: 'eve', tool: 'shell' });
    expect((await runtime.approvals.list({ run: 'run_1' })).items).toEqual(items);
    expect(await run.waits()).toMatchObject([
      { kind: 'approval', path: PATH, isInner: true },
      { kind: 'approval', path: PATH, isInner: true },
    ]);
    expect(ran).toEqual(['list']);
    await runtime.approvals.approve(await approvalOf(runtime, 'rm a'), { by: 'ada' });
    await runtime.clock.settleAll();
    // Calls of an agent's own run go on together.
    expect(ran).toEqual(forms[1] === 'call' ? ['list', 'rm a'] : ['list']);
    expect((await run.waits()).filter(({ kind }) => kind === 'approval')).toHaveLength(1);
    await runtime.approvals.deny(await approvalOf(runtime, 'rm b'), { by: 'ben', reason: 'keep b' });
    expect(await run.result()).toMatchObject({ text: 'support: all done.' });
    expect(ran).toEqual(['list', 'rm a']);
    expect(told.at(-1)).toContain('keep b');
    expect(await codesOf(runtime)).toEqual(forms[1] === 'call' ? ['approval_denied'] : []);
    const cards = cardsOf(await chunksOf(run));
    expect(cards.map(({ data }) => [commandOf(data), data.status])).toEqual([
      ['rm a', 'pending'],
      ['rm b', 'pending'],
      ['rm a', 'approved'],
      ['rm b', 'denied'],
    ]);
    expect(cards[2]?.data).toMatchObject({ decidedBy: 'ada', path: PATH });
    const decided = (await runtime.approvals.list({ thread: 't1', status: 'decided' })).items;
    expect(decided.map(({ status }) => status).toSorted()).toEqual(['approved', 'denied']);
  });

  it('is closed with its children when the run at the top is cancelled', async () => {
    const { runtime, agents, ran } = openTree({ forms });
    const run = await runtime.start(agents.support, { prompt: 'Go', id: 'run_1', thread: 't1' });
    await runtime.clock.settleAll();
    const id = await approvalOf(runtime, 'rm a');
    await run.cancel();
    await runtime.clock.settleAll();
    expect((await runtime.list({ status: ['running', 'ready', 'waiting'] })).items).toEqual([]);
    await expect(runtime.approvals.approve(id, { by: 'ada' })).rejects.toMatchObject({ code: 'approval_decided' });
    expect((await runtime.approvals.get(id)).status).toBe('closed');
    const { uiMessage } = (await run.info()).result as AgentResult;
    expect(cardsOf(uiMessage.parts).map(({ data }) => data.status)).toEqual(['closed', 'closed']);
    expect(ran).toEqual(['list']);
  });

  it('is told of, reminded of and expires, and whoever asked at the top may not answer', async () => {
    const reasons: string[] = [];
    const { runtime, agents, told } = openTree({
      forms,
      commands: ['rm a'],
      approval: { expiresIn: '1 day', remindAt: '1h', approvers: ['eve', 'ada'] },
      onApprovalRequested: ({ reason, approval }) => {
        reasons.push(`${reason} ${approval.path.join(' > ')} of ${approval.root}`);
      },
    });
    const run = await runtime.start(agents.support, { prompt: 'Go', id: 'run_1', thread: 't1', by: 'eve' });
    await runtime.clock.settleAll();
    const id = await approvalOf(runtime, 'rm a');
    await expect(runtime.approvals.approve(id, { by: 'eve' })).rejects.toMatchObject({ code: 'forbidden' });
    await runtime.clock.advance(HOUR + 1);
    await runtime.clock.advance(DAY);
    await runtime.clock.settleAll();
    const result = (await run.result()) as AgentResult;
    expect(result.text).toBe('support: all done.');
    const of = 'support > research > ops > shell of run_1';
    expect(reasons).toEqual([`requested ${of}`, `reminder ${of}`]);
    expect(told.at(-1)).toContain('was not given in time');
    const { audit, status } = await runtime.approvals.get(id);
    expect(status).toBe('expired');
    expect(audit.map(({ type }) => type)).toEqual(['requested', 'notified', 'refused', 'reminded', 'expired']);
    expect(cardsOf(result.uiMessage.parts).map(({ data }) => data.status)).toEqual(['expired']);
  });
});

describe('a function that says who may approve a call of an agent below', () => {
  it.each(FORMS)('is asked where that agent is registered, %s above %s', async (...forms) => {
    const asked: string[] = [];
    const { runtime, agents, ran } = openTree({
      forms,
      commands: ['rm a'],
      approval: { approvers: ({ by, approval }) => (asked.push(`${by.id} of ${approval.agent}`), by.id === 'ada') },
    });
    const run = await runtime.start(agents.support, { prompt: 'Go', id: 'run_1', thread: 't1', by: 'eve' });
    await runtime.clock.settleAll();
    const id = await approvalOf(runtime, 'rm a');
    await expect(runtime.approvals.approve(id, { by: 'ben' })).rejects.toMatchObject({ code: 'forbidden' });
    await runtime.approvals.approve(id, { by: 'ada', input: { command: 'rm c' } });
    expect(await run.result()).toMatchObject({ text: 'support: all done.' });
    expect(asked).toEqual(['ben of ops', 'ada of ops']);
    expect(ran).toEqual(['list', 'rm c']);
  });

  it('is not there where the agent is not registered, and nobody may', async () => {
    const { agents } = treeOf({ commands: ['rm a'], approval: { approvers: () => true } });
    const runtime = createTestRuntime({ agents: { support: agents.support } });
    onTestFinished(() => runtime.close());
    await runtime.start(agents.support, { prompt: 'Go', id: 'run_1', thread: 't1' });
    await runtime.clock.settleAll();
    const id = await approvalOf(runtime, 'rm a');
    const refused = runtime.approvals.approve(id, { by: 'ada' });
    await expect(refused).rejects.toMatchObject({ code: 'forbidden', message: expect.stringContaining('"ops"') });
  });
});

it('a list of several runs goes on where its page ended, and refuses a cursor that is none', async () => {
  const { runtime, agents } = openTree({ forms: ['child', 'child'], commands: ['rm a', 'rm b', 'rm c'] });
  await runtime.start(agents.support, { prompt: 'Go', id: 'run_1', thread: 't1' });
  await runtime.start(agents.support, { prompt: 'Go', id: 'run_2', thread: 't2' });
  await runtime.clock.settleAll();
  const found: string[] = [];
  for (let cursor: string | null | undefined; cursor !== null;) {
    const page = await runtime.approvals.list({ run: 'run_1', limit: 2, ...(cursor === undefined ? {} : { cursor }) });
    found.push(...page.items.map(commandOf));
    cursor = page.cursor;
  }
  expect(found.toSorted()).toEqual(['rm a', 'rm b', 'rm c']);
  await expect(runtime.approvals.list({ run: 'run_1', cursor: '~none' })).rejects.toMatchObject({
    code: 'invalid_argument',
  });
});

describe('a call in doubt of an agent below', () => {
  it.each(FORMS)('is asked about at the top, %s above %s', async (...forms) => {
    const { runtime, agents, ran } = openTree({ forms, commands: ['rm a'], dies: true, patienceMs: 10_000 });
    const run = await runtime.start(agents.support, { prompt: 'Go', id: 'run_1', thread: 't1', by: 'eve' });
    await runtime.clock.settleAll();
    await vi.waitFor(() => expect(ran).toContain('rm a'));
    await runtime.restart();
    await runtime.clock.settleAll();
    const { items } = await runtime.approvals.list({ thread: 't1' });
    expect(items).toMatchObject([{ question: 'in-doubt', path: PATH, root: 'run_1', requestedBy: 'eve' }]);
    await runtime.approvals.approve(items[0]?.id ?? '', { by: 'ada', result: 'it was done' });
    const { uiMessage, text } = (await run.result()) as AgentResult;
    expect(text).toBe('support: all done.');
    expect(cardsOf(uiMessage.parts).map(({ data }) => [data.question, data.status])).toEqual([
      ['in-doubt', 'approved'],
    ]);
  });
});

/** Starts, dies at a commit, goes on in a new life, and is answered. */
async function live(forms: readonly [Form, Form], at: { n: number; when: 'before' | 'after' } | null) {
  const tree = openTree({ forms, patienceMs: 10_000 });
  const { runtime, agents } = tree;
  if (at?.when === 'before') runtime.crashBeforeCommit(at.n);
  else if (at !== null) runtime.crashAfterCommit(at.n);
  let deaths = 0;
  let isDead = false;
  if (at !== null)
    void runtime.crashed().then(
      () => {
        isDead = true;
        deaths += 1;
      },
      // The story was over before its n-th commit.
      () => undefined,
    );
  const rest = async (): Promise<void> => {
    await runtime.clock.settleAll();
    if (!isDead) return;
    isDead = false;
    await runtime.restart();
    await runtime.clock.settleAll();
  };
  await runtime.start(agents.support, { prompt: 'Go', id: 'run_1', thread: 't1', by: 'eve' });
  await rest();
  for (const [command, answer] of [
    ['rm a', 'approve'],
    ['rm b', 'deny'],
  ] as const) {
    const id = await approvalOf(runtime, command);
    await runtime.approvals[answer](id, { by: 'ada' }).catch(async (error: { code?: string }) => {
      if (error.code !== 'runtime_closed') throw error;
      await rest();
      await runtime.approvals[answer](id, { by: 'ada' });
    });
    await rest();
  }
  const run = runtime.getRun<AgentResult>('run_1');
  return { ...tree, deaths, run, result: await run.result(), commits: runtime.commits };
}

describe.each(FORMS)('a death at each commit, %s above %s', (...forms) => {
  it('loses no request and no answer, and shows each card once', async () => {
    const { commits } = await live(forms, null);
    // Each on its own dies at all commits; mixed, at every third.
    const every = forms[0] === forms[1] ? 1 : 3;
    let [stories, deaths] = [0, 0];
    for (const when of ['before', 'after'] as const) {
      for (let n = 1; n <= commits; n += every) {
        const story = await live(forms, { n, when });
        const where = `${when} commit ${n}`;
        expect(story.result.text, where).toBe('support: all done.');
        expect(new Set(story.ran), where).toEqual(new Set(['list', 'rm a']));
        const cards = cardsOf(story.result.uiMessage.parts);
        expect(cards.map(({ data }) => `${commandOf(data)} ${data.status}`).toSorted(), where).toEqual([
          'rm a approved',
          'rm b denied',
        ]);
        const { items } = await story.runtime.approvals.list({ thread: 't1', status: 'all' });
        expect(items.map(({ status }) => status).toSorted(), where).toEqual(['approved', 'denied']);
        await story.runtime.close();
        deaths += story.deaths;
        stories += 1;
      }
    }
    expect(deaths).toBe(stories);
  }, 120_000);
});
