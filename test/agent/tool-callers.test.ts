import { createHook, createRuntime, DurableAgent, getToolMetadata, workflow } from 'everturn';
import type { Runtime } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { experimental_toolCaller, tool, ToolLoopAgent } from 'ai';
import type { Tool, ToolLoopAgentSettings, ToolSet } from 'ai';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { killable } from '../support/killable.ts';
import { recordingLogger, until } from './run-kit.ts';
import { call, scriptedModel, text } from './scripted.ts';
import type { ScriptedModel } from './scripted.ts';

const runtimes: Runtime[] = [];
afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close({ graceMs: 0 })));
});

/** A tool that runs a program of the model's, as code modes do: the program calls `look` twice, with ids of its own making. */
function programTool(log: string[], between: () => Promise<unknown>): Tool {
  let ids = 0;
  const run = async (tools: ToolSet): Promise<string> => {
    log.push('program');
    const look = (at: string): unknown =>
      tools['look']?.execute?.({ at }, { toolCallId: `made-up-${(ids += 1)}`, messages: [], context: undefined });
    const first = await look('here');
    await between();
    return `${String(first)}, ${String(await look('there'))}`;
  };
  const described = { description: 'Runs a program', inputSchema: z.object({ code: z.string() }) };
  return experimental_toolCaller(
    tool({ ...described, execute: (): Promise<string> => Promise.reject(new Error('It is not bound.')) }),
    {
      type: 'local',
      bind: (tools) => tool({ ...described, execute: () => run(tools) }),
    },
  );
}

type Settings = ToolLoopAgentSettings<never, ToolSet> & { model: ScriptedModel };

function settings(log: string[], between: () => Promise<unknown> = () => Promise.resolve()): Settings {
  const model = scriptedModel([{ content: [call('program', { code: 'look()' })] }, { content: [text('Done.')] }]);
  const look = tool({
    inputSchema: z.object({ at: z.string() }),
    execute: ({ at }) => {
      log.push(at);
      return `seen ${at}`;
    },
  });
  const tools = { program: programTool(log, between), look };
  return { id: 'coder', model, tools, experimental_toolCallers: { look: ['program'] } } as unknown as Settings;
}

describe('a tool that calls tools', () => {
  it('works as it does in a plain agent', async () => {
    const plain = settings([]);
    const expected = await new ToolLoopAgent(plain).generate({ prompt: 'Go.' });
    const own = settings([]);
    const agent = new DurableAgent(own);
    const ask = workflow('ask', async () =>
      JSON.stringify((await agent.generate({ prompt: 'Go.' })).steps[0]?.toolResults),
    );
    const runtime = createRuntime({ store: memoryStore(), workflows: [ask] });
    runtimes.push(runtime);
    const run = await runtime.start(ask);
    expect(await run.result()).toBe(JSON.stringify(expected.steps[0]?.toolResults));
    expect(own.model.calls[0]?.tools).toEqual(plain.model.calls[0]?.tools);
    expect((await run.events()).flatMap(({ type, key }) => (type === 'tool_completed' ? [key] : []))).toEqual([
      'agent:coder/t0/tool:program-1/tool:look',
      'agent:coder/t0/tool:program-1/tool:look#1',
      'agent:coder/t0/tool:program-1',
    ]);
  });

  it('goes on after a crash without calling again what was recorded', async () => {
    const store = memoryStore();
    const log: string[] = [];
    let token = '';
    const open = (on: typeof store): Runtime => {
      const agent = new DurableAgent(
        settings(log, async () => {
          const hook = createHook<string>();
          token = hook.token;
          log.push(getToolMetadata().idempotencyKey.split('/').slice(1).join('/'));
          await hook;
        }),
      );
      const worker = { leaseMs: 150, pollMs: 20, storeTimeoutMs: 100 };
      const runtime = createRuntime({ store: on, agents: { agent }, worker, logger: recordingLogger().logger });
      runtimes.push(runtime);
      return runtime;
    };
    const dying = killable(store);
    const first = open(dying.store);
    const { id } = await first.start('agent', { id: 'r', prompt: 'Go.' });
    await until(async () => (await first.getRun(id).status) === 'waiting');
    dying.kill();
    const second = open(store);
    await second.resumeHook(token, 'go on');
    expect(await second.getRun(id).result()).toMatchObject({ text: 'Done.' });
    const key = 'agent#0/t0/tool:program-1';
    expect(log).toEqual(['program', 'here', key, 'program', key, 'there']);
  });
});
