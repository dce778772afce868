import { createRuntime, defineHook, sleep, workflow } from 'everturn';
import { sqliteStore } from 'everturn/sqlite';
import { createTestRuntime } from 'everturn/testing';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, expectTypeOf, it, onTestFinished } from 'vitest';
import { z } from 'zod';

const review = defineHook({ schema: z.object({ approved: z.boolean(), at: z.coerce.date() }) });
const note = defineHook<{ text: string }>();

const publish = workflow('publish', async () => {
  const answer = await review.create({ token: 'review' });
  expectTypeOf(answer).toEqualTypeOf<{ approved: boolean; at: Date }>();
  return answer;
});

const remark = workflow('remark', async () => {
  const hook = note.create({ token: 'note' });
  const first = await Promise.race([hook, sleep('1 day').then(() => null)]);
  expectTypeOf(first).toEqualTypeOf<{ text: string } | null>();
  return first?.text ?? 'nobody said anything';
});

const AT = '2026-05-01T12:00:00.000Z';

it('a defined hook gives the code what its schema makes of the payload', async () => {
  const runtime = createTestRuntime({ workflows: [publish] });
  onTestFinished(() => runtime.close());
  const run = await runtime.start(publish);
  await runtime.until(run, 'waiting');
  await review.resume(runtime, { token: 'review', payload: { approved: true, at: AT } });
  expect(await run.result()).toEqual({ approved: true, at: new Date(AT) });
});

it('a defined hook takes the same delivery once, and says who sent it', async () => {
  const runtime = createTestRuntime({ workflows: [remark] });
  onTestFinished(() => runtime.close());
  const run = await runtime.start(remark);
  await runtime.until(run, 'waiting');
  for (const _ of [1, 2])
    await note.resume(runtime, { token: 'note', payload: { text: 'hello' }, id: 'delivery-1', by: 'ann' });
  expect(await run.result()).toBe('hello');
  const received = (await run.events()).filter(({ type }) => type === 'message_received');
  expect(received.map(({ meta }) => [meta?.['id'], meta?.['by']])).toEqual([['delivery-1', 'ann']]);
});

it('a defined hook loses a race against sleep', async () => {
  const runtime = createTestRuntime({ workflows: [remark] });
  onTestFinished(() => runtime.close());
  const run = await runtime.start(remark);
  await runtime.until(run, 'waiting');
  await runtime.clock.advance('1 day');
  expect(await run.result()).toBe('nobody said anything');
});

it('a defined hook is resumed from a process that does not have its run, which refuses what does not fit', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'everturn-define-hook-'));
  const file = join(folder, 'runs.db');
  const working = createRuntime({ store: sqliteStore(file), workflows: [publish] });
  const answering = createRuntime({ store: sqliteStore(file), worker: false });
  onTestFinished(async () => {
    await working.close();
    await answering.close();
    rmSync(folder, { recursive: true });
  });
  const run = await working.start(publish);
  await expect.poll(() => run.status).toBe('waiting');
  const wrong = { approved: 'perhaps', at: AT } as unknown as { approved: boolean; at: string };
  await expect(review.resume(answering, { token: 'review', payload: wrong })).rejects.toMatchObject({
    code: 'payload_invalid',
    details: { issues: [{ path: 'approved' }] },
  });
  await review.resume(answering, { token: 'review', payload: { approved: false, at: AT } });
  expect(await run.result()).toMatchObject({ approved: false });
  expect((await run.events()).filter(({ type }) => type === 'message_received')).toHaveLength(1);
});
