import { createHook, sleep, step, workflow } from 'everturn';
import { expect, it } from 'vitest';
import { decodeText, encodeText } from '../../src/runtime/codec.ts';
import type { Payload, Store } from '../../src/runtime/store.ts';
import { processes } from './support.ts';

const healthy = workflow('healthy', async () => {
  await sleep('1 minute');
  return step('work', () => 'done');
});

/** What is read of the value of an event of this type is not what was written; its header is. */
function corrupt(store: Store, type: string): void {
  const { load } = store;
  const spoil = (payload: Payload): Payload => {
    const text = decodeText(payload);
    const cut = text.indexOf('\n');
    return text.includes(`"${type}"`) && cut > 0 ? encodeText(`${text.slice(0, cut)}\n[[`, 'a test') : payload;
  };
  store.load = async (...call) => {
    const loaded = await load.apply(store, call);
    return loaded === null ? null : { ...loaded, events: loaded.events.map(spoil) };
  };
}

const flow = workflow('flow', async () => {
  const result = await step('first', () => ({ paid: true })).catch(() => 'the step failed');
  const answer = await createHook({ token: 'answer' });
  await sleep('1 hour');
  return [result, answer];
});

it.each(['step_completed', 'message_received'])(
  'a recorded value that cannot be read parks its run, it does not fail it: %s',
  async (type) => {
    const { clock, inner, open, settle } = processes();
    const first = open({ workflows: [flow, healthy] });
    const run = await first.start(flow, { id: 'run' });
    await settle();
    await first.resumeHook('answer', 'yes');
    await settle();
    first.kill();
    const { load } = inner;
    corrupt(inner, type);
    const second = open({ workflows: [flow, healthy] });
    const other = await second.start(healthy);
    await clock.advance('1 hour');
    expect(await inner.get(run.id)).toMatchObject({ status: 'parked', parked: { code: 'value_corrupt' } });
    expect(await other.result()).toBe('done');
    inner.load = load;
    await second.resume(run.id);
    await clock.advance('1 minute');
    expect(await second.getRun(run.id).result()).toEqual([{ paid: true }, 'yes']);
  },
);

it('a run whose journal has more events than its row counts is parked, and says so', async () => {
  const { clock, inner, open, settle } = processes();
  const first = open({ workflows: [flow] });
  const run = await first.start(flow, { id: 'run' });
  await settle();
  first.kill();
  const { load } = inner;
  inner.load = async (...call) => {
    const loaded = await load.apply(inner, call);
    return loaded === null ? null : { ...loaded, events: [...loaded.events, ...loaded.events.slice(-1)] };
  };
  const second = open({ workflows: [flow] });
  await second.resumeHook('answer', 'yes');
  await clock.advance('1 minute');
  expect(await inner.get(run.id)).toMatchObject({ status: 'parked', parked: { code: 'value_corrupt' } });
  await expect(second.getRun(run.id).info()).resolves.toMatchObject({
    parked: { details: { message: expect.stringContaining('row counts 2 events, and its journal has 3') } },
  });
});

it('a run whose bookkeeping fails is parked; the process and the other runs go on', async () => {
  const { clock, inner, logs, open, settle } = processes();
  const { commit } = inner;
  inner.commit = async (batch) => {
    const answers = await commit.call(inner, batch);
    return answers.map((answer, index) =>
      batch[index]?.run === 'bad' && batch[index].then.kind === 'run'
        ? { ...answer, messages: undefined as never }
        : answer,
    );
  };
  const runtime = open({ workflows: [healthy, flow] });
  const other = await runtime.start(healthy);
  await runtime.start(flow, { id: 'bad' });
  await settle();
  expect(await inner.get('bad')).toMatchObject({ status: 'parked', parked: { code: 'internal_error' } });
  expect(logs.filter(({ level }) => level === 'error').map(({ fields }) => fields['code'])).toContain('internal_error');
  await clock.advance('1 minute');
  expect(await other.result()).toBe('done');
});
