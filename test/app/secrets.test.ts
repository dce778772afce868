import { child, createHook, createRuntime, DurableAgent, randomUUID, sleep, workflow } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { scriptedModel } from 'everturn/testing';
import { describe, expect, it } from 'vitest';
import { processes } from '../runtime/support.ts';

const tokens: string[] = [];
const flow = workflow('flow', async (item: string) => {
  const id = randomUUID();
  const hook = createHook<string>();
  tokens.push(hook.token);
  return { item, id, payload: await hook, again: randomUUID() };
});

type Result = { item: string; id: string; payload: string; again: string };

/** A run that waits for a hook, left by a process that knew these secrets. */
async function waiting(secret?: string | string[]) {
  tokens.length = 0;
  const site = processes();
  const first = site.open({ workflows: [flow], ...(secret === undefined ? {} : { secret }) });
  await first.start(flow, { id: 'run', input: 'lamp' });
  await site.settle();
  first.kill();
  const [token = ''] = tokens;
  const next = (secrets?: string | string[]) =>
    site.open({ workflows: [flow], ...(secrets === undefined ? {} : { secret: secrets }) });
  return { ...site, token, next };
}

describe('a secret that was changed', () => {
  it('leaves the tokens and ids of runs that began under the former one as they were', async () => {
    const { token, next, inner } = await waiting('old');
    const second = next(['new', 'old']);
    await second.resumeHook(token, 'paid');
    const result = await second.getRun<Result>('run').result();
    expect(result).toMatchObject({ item: 'lamp', payload: 'paid' });
    expect(tokens).toEqual([token, token]);
    expect((await inner.listHooks({ run: 'run' })).items).toHaveLength(1);
  });

  it('signs what starts from then on', async () => {
    const { next, settle, inner } = await waiting('old');
    const second = next(['new', 'old']);
    await second.start(flow, { id: 'later', input: 'lamp' });
    await settle();
    const [hashes] = [[(await inner.get('run'))?.inputHash, (await inner.get('later'))?.inputHash]];
    expect(new Set(hashes.map((hash) => hash?.split('.')[0])).size).toBe(2);
    const third = next('new');
    await third.resumeHook(tokens.at(-1) ?? '', 'paid');
    expect(await third.getRun('later').result()).toMatchObject({ payload: 'paid' });
  });

  it('knows a start of before it again, by its input', async () => {
    const { next } = await waiting('old');
    const second = next(['new', 'old']);
    expect((await second.start(flow, { id: 'run', input: 'lamp' })).id).toBe('run');
    await expect(second.start(flow, { id: 'run', input: 'chair' })).rejects.toMatchObject({ code: 'run_conflict' });
  });

  it('knows a start of after it again where the order of the list is still the former one', async () => {
    const { next } = await waiting(['new', 'old']);
    expect((await next(['old', 'new']).start(flow, { id: 'run', input: 'lamp' })).id).toBe('run');
  });

  it('may have been the one that the store keeps', async () => {
    const { token, next } = await waiting();
    const second = next('mine');
    expect((await second.start(flow, { id: 'run', input: 'lamp' })).id).toBe('run');
    await second.resumeHook(token, 'paid');
    expect(await second.getRun('run').result()).toMatchObject({ payload: 'paid' });
  });
});

describe('a secret that is no longer known', () => {
  it('parks the run that needs it, and says which and what to do; with the secret it goes on', async () => {
    const { token, next, settle, logs } = await waiting('old');
    const second = next('new');
    await second.resumeHook(token, 'paid');
    await settle();
    const { status, parked } = await second.getRun('run').info();
    expect([status, parked?.code]).toEqual(['parked', 'secret_unknown']);
    expect(parked?.details).toMatchObject({ message: expect.stringContaining('secret: [new, former]') });
    expect(logs).toContainEqual(
      expect.objectContaining({ level: 'error', fields: expect.objectContaining({ code: 'secret_unknown' }) }),
    );
    expect(JSON.stringify([parked, logs])).not.toMatch(/"(old|new)"/);
    second.kill();
    const third = next(['new', 'old']);
    await third.resume('run');
    expect(await third.getRun('run').result()).toMatchObject({ payload: 'paid' });
  });

  it('makes a start with the id of such a run an error, for nobody can tell whether it is the same', async () => {
    const { next } = await waiting('old');
    await expect(next('new').start(flow, { id: 'run', input: 'lamp' })).rejects.toMatchObject({
      code: 'secret_unknown',
      details: { run: 'run' },
    });
  });

  it('holds up no other run', async () => {
    const { token, next, settle, clock } = await waiting('old');
    const second = next('new');
    await second.resumeHook(token, 'paid');
    await second.start(flow, { id: 'other', input: 'chair' });
    await settle();
    await second.resumeHook(tokens.at(-1) ?? '', 'paid');
    await clock.advance(1_000);
    expect(await second.getRun('other').result()).toMatchObject({ item: 'chair' });
  });
});

it('a child of a run that began under a former secret is the same child on replay', async () => {
  const { open, settle, clock } = processes();
  const kid = workflow('kid', () => sleep('1 hour'));
  const parent = workflow('parent', () => child(kid));
  const first = open({ workflows: [kid, parent], secret: 'old' });
  const run = await first.start(parent);
  await settle();
  first.kill();
  const second = open({ workflows: [kid, parent], secret: ['new', 'old'] });
  await clock.advance('2 hours');
  await second.getRun(run.id).result();
  expect((await second.list({ workflow: 'kid' })).items).toHaveLength(1);
});

it('a message that nobody took is known again as the run that it became', async () => {
  const { open, settle } = processes();
  const held = new DurableAgent({ model: scriptedModel(() => ({ text: 'never', hold: new Promise(() => {}) })) });
  const runtime = open({ agents: { held } });
  await runtime.start(held, { prompt: 'first', thread: 't', id: 'first' });
  await settle();
  const steered = { prompt: 'second', thread: 't', id: 'second', whenBusy: 'steer' } as const;
  await runtime.start(held, steered);
  await settle();
  await runtime.getRun('first').cancel();
  await settle();
  expect((await runtime.getRun('second').info()).status).toMatch(/running|queued/);
  expect((await runtime.start(held, steered)).id).toBe('second');
});

it.each([[''], [[]], [['new', '']], [7]])('%j is no secret', (secret) => {
  expect(() => createRuntime({ store: memoryStore(), workflows: [flow], secret: secret as string })).toThrow(
    /"secret": it is empty or no string/,
  );
});
