/** Whatever happens to a run, the next message's history is accepted by servers as strict as OpenAI and Anthropic. Each boundary: `npm run test:faults`. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ModelServer } from '../../examples/model-server/server.ts';
import type { Runtime } from '../../src/app/create-runtime.ts';
import { memoryStore } from '../../src/stores/memory/memory-store.ts';
import { killable } from '../support/killable.ts';
import { approvalOf, begin, chunksSeen, goOn, providers, settled, startWorker } from './history-kit.ts';
import type { Process, ProcessOptions } from './history-kit.ts';
import { until } from './run-kit.ts';

describe.each(providers)('the history that $name gets', ({ start, model }) => {
  let server: ModelServer;
  const runtimes: Runtime[] = [];

  beforeAll(async () => {
    server = await start({ pacingMs: 1 });
  });
  afterEach(async () => {
    await Promise.all(runtimes.splice(0).map((runtime) => runtime.close({ graceMs: 0 })));
    expect(server.log.filter(({ status }) => status === 400)).toEqual([]);
  });
  afterAll(async () => {
    await server.close();
  });

  function process(options?: ProcessOptions): Process {
    const started = startWorker(model(server.baseURL), options);
    runtimes.push(started.runtime);
    return started;
  }

  it.each([1, 3, 6, 9, 12, 15])('after a stop at chunk %i is valid', async (count) => {
    const setup = process();
    const run = await begin(setup);
    await chunksSeen(setup.runtime, run.id, count);
    await run.cancel();
    await settled(run);
    await goOn(setup);
  });

  it('after a stop in a tool is valid', async () => {
    let looking = false;
    const look = () => {
      looking = true;
      return new Promise(() => {});
    };
    const setup = process({ look });
    const run = await begin(setup);
    await until(() => looking);
    await run.cancel();
    await expect(run.result()).rejects.toMatchObject({ code: 'cancelled' });
    await goOn(setup);
  });

  it('after a tool that took longer than its time-out is valid', async () => {
    const setup = process({ look: () => new Promise(() => {}), limits: { toolMs: 30 } });
    const run = await begin(setup);
    const { id } = await approvalOf(setup.runtime);
    await setup.runtime.approvals.approve(id, { by: 'a' });
    expect((await run.result()).text).toContain('done now');
    await goOn(setup);
  });

  it('after an answer that took longer than the time-out of its agent is valid', async () => {
    const store = memoryStore();
    const hasty = process({
      store: killable(store).store,
      look: () => new Promise(() => {}),
      limits: { wholeMs: 150 },
    });
    const run = await begin(hasty);
    await expect(run.result()).rejects.toMatchObject({ code: 'run_failed' });
    await hasty.runtime.close();
    await goOn(process({ store }));
  });

  it('after an approval, a denial or a stop at an approval is valid', async () => {
    for (const end of ['approve', 'deny', 'stop'] as const) {
      const setup = process();
      const run = await begin(setup);
      const { id } = await approvalOf(setup.runtime);
      if (end === 'stop') await run.cancel();
      else await setup.runtime.approvals[end](id, { by: 'a', reason: 'because' });
      await settled(run);
      await goOn(setup);
    }
  });

  it.each([2, 8, 14])('after a process died at chunk %i is valid', async (count) => {
    const store = memoryStore();
    const dying = killable(store);
    const first = process({ store: dying.store });
    const run = await begin(first);
    await chunksSeen(first.runtime, run.id, count);
    dying.kill();
    const second = process({ store });
    const { id } = await approvalOf(second.runtime);
    await second.runtime.approvals.approve(id, { by: 'a' });
    await second.runtime.getRun(run.id).result();
    await goOn(second);
  });

  it.each([1, 6, 12])('with a message steered in at chunk %i is valid', async (count) => {
    const setup = process();
    const run = await begin(setup);
    await chunksSeen(setup.runtime, run.id, count);
    await setup.runtime.start(setup.agent, { prompt: 'hurry up', thread: 't', whenBusy: 'steer' });
    const { id } = await approvalOf(setup.runtime);
    await setup.runtime.approvals.approve(id, { by: 'a' });
    await run.result();
    await goOn(setup);
  });

  it('after the stream was cut in the middle and tried again is valid', async () => {
    server.failNext({ kind: 'cut', afterTokens: 3, userText: 'work' });
    const setup = process();
    const run = await begin(setup);
    const { id } = await approvalOf(setup.runtime);
    await setup.runtime.approvals.approve(id, { by: 'a' });
    await run.result();
    await goOn(setup);
  });
});
