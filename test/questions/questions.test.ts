import { tool } from 'ai';
import type { UIMessage } from 'ai';
import { ask, DurableAgent, DurableError, sleep, step, workflow } from 'everturn';
import type { QuestionData } from 'everturn';
import { createTestRuntime, scriptedModel } from 'everturn/testing';
import type { TestRuntime, TestRuntimeOptions } from 'everturn/testing';
import { describe, expect, expectTypeOf, it, onTestFinished } from 'vitest';
import { z } from 'zod';

const DAY = 24 * 60 * 60_000;

const paint = workflow('paint', async () => {
  const colour = await ask({ prompt: 'Which colour?', options: ['red', 'blue'], metadata: { room: 7 } });
  expectTypeOf(colour).toEqualTypeOf<'red' | 'blue'>();
  const coats = await ask({
    prompt: 'How many coats?',
    options: [
      { value: 1, label: 'one' },
      { value: 2, label: 'two' },
    ],
  });
  expectTypeOf(coats).toEqualTypeOf<1 | 2>();
  const order = await ask({
    prompt: 'When?',
    schema: z.object({ day: z.iso.date(), at: z.number().max(24).default(9) }),
  });
  expectTypeOf(order).toEqualTypeOf<{ day: string; at: number }>();
  await step('paint', () => undefined);
  return { colour, coats, order };
});

const brief = workflow('brief', () =>
  ask({ prompt: 'Now?', options: ['yes'], expiresIn: '1 day' }).catch((error: unknown) =>
    DurableError.is(error) ? `${error.code}: ${error.message}` : String(error),
  ),
);

function opened(options: TestRuntimeOptions = { workflows: [paint, brief] }): TestRuntime {
  const runtime = createTestRuntime(options);
  onTestFinished(() => runtime.close());
  return runtime;
}

async function pending(runtime: TestRuntime): Promise<{ id: string; prompt: string }> {
  const { items } = await runtime.questions.list();
  expect(items).toHaveLength(1);
  return items[0] as { id: string; prompt: string };
}

describe('a question of a workflow', () => {
  it('waits for its answer over restarts, one after the other, and the code gets what its schema makes of it', async () => {
    const runtime = opened();
    const run = await runtime.start(paint);
    for (const [prompt, answer] of [
      ['Which colour?', 'blue'],
      ['How many coats?', 2],
      ['When?', { day: '2026-11-22' }],
    ]) {
      await runtime.until(run, 'waiting');
      const question = await pending(runtime);
      expect(question.prompt).toBe(prompt);
      await runtime.restart();
      const settled = await runtime.questions.answer(question.id, { answer, by: 'ada' });
      expect(settled).toMatchObject({ status: 'answered', answeredBy: 'ada', answeredAt: expect.any(Number) });
    }
    const order = { day: '2026-11-22', at: 9 };
    expect(await runtime.getRun(run.id).result()).toEqual({ colour: 'blue', coats: 2, order });
  });

  it('is listed and waited for with all that a person needs', async () => {
    const runtime = opened();
    const run = await runtime.start(paint, { id: 'house', tenant: 'acme' });
    await runtime.until(run, 'waiting');
    const { items } = await runtime.questions.list({ tenant: 'acme', run: 'house' });
    const asked = {
      prompt: 'Which colour?',
      options: [
        { value: 'red', label: 'red' },
        { value: 'blue', label: 'blue' },
      ],
      schema: { enum: ['red', 'blue'] },
      tool: null,
      toolCallId: null,
      expiresAt: null,
      metadata: { room: 7 },
    };
    const [question] = items;
    expect(question).toMatchObject({ ...asked, run: 'house', workflow: 'paint', tenant: 'acme', status: 'pending' });
    expect(await run.waits()).toMatchObject([{ ...asked, kind: 'question', questionId: question?.id }]);
    expect((await runtime.questions.list({ tenant: 'other' })).items).toEqual([]);
    expect((await runtime.questions.list({ status: 'settled' })).items).toEqual([]);
  });

  it.each(['in memory', 'of another process'])(
    'refuses an answer that does not fit and stays open, with its run %s',
    async (where) => {
      const runtime = opened();
      const run = await runtime.start(paint);
      await runtime.until(run, 'waiting');
      if (where !== 'in memory') await runtime.restart();
      const { id } = await pending(runtime);
      await expect(runtime.questions.answer(id, { answer: 'green', by: 'ada' })).rejects.toMatchObject({
        code: 'payload_invalid',
        message: expect.stringMatching(/it is none of "red", "blue".*still open/),
      });
      for (const answer of ['red', 1]) {
        await runtime.questions.answer((await pending(runtime)).id, { answer, by: 'ada' });
        await runtime.until(run, 'waiting');
      }
      if (where !== 'in memory') await runtime.restart();
      const when = await pending(runtime);
      await expect(
        runtime.questions.answer(when.id, { answer: { day: 'tomorrow', at: 9 }, by: 'ada' }),
      ).rejects.toMatchObject({
        code: 'payload_invalid',
        details: { issues: expect.arrayContaining([expect.objectContaining({ path: 'day' })]) },
      });
      expect((await runtime.questions.get(when.id)).status).toBe('pending');
      await runtime.questions.answer(when.id, { answer: { day: '2026-11-22', at: 9 }, by: 'ada' });
      expect(await runtime.getRun(run.id).result()).toMatchObject({ colour: 'red', coats: 1 });
    },
  );

  it('takes the first answer, tells later ones who gave it, and knows the same answer again', async () => {
    const runtime = opened();
    const run = await runtime.start(paint);
    await runtime.until(run, 'waiting');
    const { id } = await pending(runtime);
    const answers = await Promise.allSettled(
      ['ada', 'ben', 'cleo'].map((by) => runtime.questions.answer(id, { answer: 'red', by })),
    );
    expect(answers.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected', 'rejected']);
    const { answeredBy, answeredAt } = await runtime.questions.get(id);
    const late = runtime.questions.answer(id, { answer: 'blue', by: 'dora' });
    await expect(late).rejects.toMatchObject({
      code: 'question_settled',
      message: expect.stringContaining(`was answered by ${answeredBy}`),
      details: { status: 'answered', by: answeredBy, at: answeredAt },
    });
    const again = await runtime.questions.answer(id, { answer: 'red', by: String(answeredBy) });
    expect(again.answeredBy).toBe(answeredBy);
  });

  it('is answered as a question alone: whoever knows its id cannot resume it as a hook', async () => {
    const runtime = opened();
    const run = await runtime.start(paint);
    await runtime.until(run, 'waiting');
    const { id } = await pending(runtime);
    await expect(runtime.resumeHook(id, 'red')).rejects.toMatchObject({ code: 'hook_not_found' });
    expect((await runtime.questions.get(id)).status).toBe('pending');
  });

  it('tells an id that is none', () =>
    expect(opened().questions.answer('qst_0', { answer: 1, by: 'ada' })).rejects.toMatchObject({
      code: 'question_not_found',
      message: expect.stringMatching(/no question "qst_0".*runtime\.questions\.list/),
    }));
});

describe('a question that expires', () => {
  it('is told as that to the code and to whoever comes late', async () => {
    const runtime = opened();
    const run = await runtime.start(brief);
    await runtime.until(run, 'waiting');
    const { id } = await pending(runtime);
    await runtime.clock.advance(DAY);
    expect(await run.result()).toMatch(/^hook_expired: Nobody answered the question "Now\?" in time/);
    await runtime.clock.advance(1_000);
    expect((await runtime.questions.get(id)).status).toBe('expired');
    await expect(runtime.questions.answer(id, { answer: 'yes', by: 'ada' })).rejects.toMatchObject({
      code: 'question_settled',
      message: expect.stringMatching(/expired .* nobody answered in time/),
    });
  });

  it('was closed and did not expire where its run ended before', async () => {
    const runtime = opened();
    const run = await runtime.start(brief);
    await runtime.until(run, 'waiting');
    const { id } = await pending(runtime);
    await run.cancel();
    await run.result().catch(() => undefined);
    await runtime.clock.advance(2 * DAY);
    expect((await runtime.questions.get(id)).status).toBe('closed');
  });
});

it('refuses to ask what nobody could answer', async () => {
  const wrong = workflow('wrong', async ({ at }: { at: number }) => {
    const options: unknown[] = [
      { prompt: 'Which?' },
      { prompt: '', options: ['a'] },
      { prompt: 'Which?', options: [] },
      { prompt: 'Which?', options: ['a', { value: 'a', label: 'A' }] },
      { prompt: 'Which?', options: [{ label: 'A' }] },
      { prompt: 'Which?', options: ['a'], schema: z.string() },
      { prompt: 'Which?', schema: {} },
      { prompt: 'Which?', options: ['a'], expiresIn: 'soon' },
    ];
    await ask(options[at] as Parameters<typeof ask>[0]);
  });
  const runtime = opened({ workflows: [wrong] });
  const codes = [];
  for (let at = 0; at < 8; at += 1) {
    const run = await runtime.start(wrong, { input: { at } });
    codes.push(await run.result().catch((error: DurableError) => (error.cause as DurableError).code));
  }
  expect(codes).toEqual([...Array<string>(7).fill('invalid_argument'), 'invalid_duration']);
});

describe('a question of a tool', () => {
  const book = tool({
    inputSchema: z.object({ to: z.string() }),
    execute: async ({ to }) => {
      const seat = await ask({ prompt: `Which seat to ${to}?`, options: ['aisle', 'window'], expiresIn: '1 day' });
      const meal = await ask({ prompt: 'Which meal?', schema: z.string().min(2) });
      return `${seat}, ${meal}`;
    },
  });
  const nap = tool({
    inputSchema: z.object({}),
    execute: async () => {
      await sleep('1 hour');
      return 'rested';
    },
  });
  const calls = [
    { toolName: 'book', input: { to: 'Rome' } },
    { toolName: 'nap', input: {} },
  ];
  const travel = (): DurableAgent<never, { book: typeof book; nap: typeof nap }> =>
    new DurableAgent({
      model: scriptedModel(({ toolResults }) =>
        'book' in toolResults ? `Booked: ${JSON.stringify(toolResults['book'])}` : { toolCalls: calls },
      ),
      tools: { book, nap },
    });

  function shown(message: UIMessage | undefined): QuestionData[] {
    return (message?.parts ?? []).flatMap((part) => (part.type === 'data-question' ? [part.data as QuestionData] : []));
  }

  it('is asked twice in one call, beside another tool, over restarts, and the message shows what became of each', async () => {
    const runtime = opened({ agents: { travel: travel() } });
    const run = await runtime.start('travel', { prompt: 'Go', thread: 'trip' });
    await runtime.until(run, 'waiting');
    const seat = await pending(runtime);
    await runtime.restart();
    await runtime.clock.advance(60 * 60_000);
    await runtime.until(run, 'waiting');
    await runtime.questions.answer(seat.id, { answer: 'window', by: 'ada' });
    await runtime.until(run, 'waiting');
    const meal = await pending(runtime);
    expect(meal.id).not.toBe(seat.id);
    await runtime.restart();
    await runtime.questions.answer(meal.id, { answer: 'soup', by: 'ben' });
    const { text, uiMessage } = (await runtime.getRun(run.id).result()) as { text: string; uiMessage: UIMessage };
    expect(text).toBe('Booked: "window, soup"');
    expect(shown(uiMessage)).toEqual([
      expect.objectContaining({
        prompt: 'Which seat to Rome?',
        tool: 'book',
        status: 'answered',
        answer: 'window',
        answeredBy: 'ada',
      }),
      expect.objectContaining({ prompt: 'Which meal?', status: 'answered', answer: 'soup', answeredBy: 'ben' }),
    ]);
    const parts = uiMessage.parts.filter(({ type }) => type === 'data-question') as Array<{ id?: string }>;
    expect(parts.map(({ id }) => id)).toEqual([seat.id, meal.id]);
    const call = uiMessage.parts.find(({ type }) => type === 'tool-book') as { toolCallId?: string };
    expect(shown(uiMessage).map(({ toolCallId }) => toolCallId)).toEqual([call.toolCallId, call.toolCallId]);
  });

  it('writes each state of the part once, however often the call is replayed', async () => {
    const runtime = opened({ agents: { travel: travel() } });
    const run = await runtime.start('travel', { prompt: 'Go' });
    for (const answer of ['aisle', 'stew']) {
      await runtime.until(run, 'waiting');
      for (let restarts = 0; restarts < 2; restarts += 1) {
        await runtime.restart();
        await runtime.clock.advance(60 * 60_000);
        await runtime.until(run, 'waiting');
      }
      await runtime.questions.answer((await pending(runtime)).id, { answer, by: 'ada' });
    }
    await runtime.getRun(run.id).result();
    const written: string[] = [];
    for await (const chunk of runtime.getRun(run.id).stream() as AsyncIterable<{ type: string; data: QuestionData }>) {
      if (chunk.type === 'reset-step') written.length = 0;
      if (chunk.type === 'data-question') written.push(`${chunk.data.prompt} ${chunk.data.status}`);
    }
    expect(written.filter((text) => text.startsWith('Which meal? answered'))).toHaveLength(1);
    expect(written.at(-1)).toBe('Which meal? answered');
  });

  it('that nobody answers is told to the model and shown as expired', async () => {
    const model = scriptedModel(({ prompt }) =>
      prompt.at(-1)?.role === 'tool' ? JSON.stringify(prompt.at(-1)) : { toolCalls: calls.slice(0, 1) },
    );
    const runtime = opened({ agents: { travel: new DurableAgent({ model, tools: { book } }) } });
    const run = await runtime.start('travel', { prompt: 'Go' });
    await runtime.until(run, 'waiting');
    await runtime.clock.advance(DAY);
    const { text, uiMessage } = (await run.result()) as { text: string; uiMessage: UIMessage };
    expect(text).toContain('Nobody answered the question');
    expect(shown(uiMessage)).toMatchObject([{ status: 'expired' }]);
  });

  it('is shown as closed where the run is stopped before, at the end of the message', async () => {
    const runtime = opened({ agents: { travel: travel() } });
    const run = await runtime.start('travel', { prompt: 'Go', thread: 'trip' });
    await runtime.until(run, 'waiting');
    const { id } = await pending(runtime);
    await run.cancel();
    await run.result().catch(() => undefined);
    const chunks: Array<{ type: string; data?: QuestionData }> = [];
    for await (const chunk of run.stream<(typeof chunks)[number]>()) chunks.push(chunk);
    expect(chunks.slice(-3).map(({ type, data }) => data?.status ?? type)).toEqual(['closed', 'abort', 'finish']);
    await expect(runtime.questions.answer(id, { answer: 'aisle', by: 'ada' })).rejects.toMatchObject({
      code: 'question_settled',
      details: { status: 'closed' },
    });
  });

  it('of an agent inside of a tool is shown where the outermost call stands', async () => {
    const inner = new DurableAgent({
      id: 'inner',
      model: scriptedModel(({ toolResults }) =>
        'book' in toolResults ? String(toolResults['book']) : { toolCalls: calls.slice(0, 1) },
      ),
      tools: { book },
    });
    const delegate = tool({
      inputSchema: z.object({}),
      execute: async () => (await inner.generate({ prompt: 'book it' })).text,
    });
    const outer = new DurableAgent({
      model: scriptedModel(({ toolResults }) =>
        'delegate' in toolResults
          ? String(toolResults['delegate'])
          : { toolCalls: [{ toolName: 'delegate', input: {} }] },
      ),
      tools: { delegate },
    });
    const runtime = opened({ agents: { outer } });
    const run = await runtime.start('outer', { prompt: 'Go' });
    for (const answer of ['aisle', 'stew']) {
      await runtime.until(run, 'waiting');
      await runtime.restart();
      const question = await pending(runtime);
      expect(question).toMatchObject({ tool: 'delegate' });
      await runtime.questions.answer(question.id, { answer, by: 'ada' });
    }
    const { text, uiMessage } = (await runtime.getRun(run.id).result()) as { text: string; uiMessage: UIMessage };
    expect(text).toBe('aisle, stew');
    expect(shown(uiMessage).map(({ tool: name, status }) => `${name} ${status}`)).toEqual(
      Array(2).fill('delegate answered'),
    );
  });
});
