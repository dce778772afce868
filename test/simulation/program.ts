/** Random durable programs: what a run does, as a tree that travels as its input, and the code that executes it. */

import { child, createHook, DurableError, getWritable, now, randomUUID, shield, sleep, step, workflow } from 'everturn';
import type { Workflow } from 'everturn';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { approvalHook, approvalTokenHash, UNASKED } from '../../src/agent/tool/approval.ts';
import { NO_TERMS } from '../../src/agent/tool/approval-terms.ts';
import { decisionOf } from '../../src/agent/tool/approval-watch.ts';
import { requireContext } from '../../src/runtime/context.ts';
import { draftEvent } from '../../src/runtime/event.ts';
import type { Effects, StepPlan } from './effects.ts';
import type { SimProcess } from './process.ts';

export type Node =
  | { kind: 'step'; plan: StepPlan; retries: number }
  | { kind: 'sleep'; id: number; ms: number }
  | { kind: 'seq' | 'par' | 'race'; nodes: Node[] }
  | {
      kind: 'hook';
      id: number;
      gapMs: number;
      isAnswered: boolean;
      isStrict: boolean;
      expiresIn: number | null;
      /** It is an approval: told of, reminded of, decided by a person, expired. */
      isApproval: boolean;
    }
  | { kind: 'inbox'; id: number; count: number; closesAfterMs: number | null }
  | { kind: 'clash'; token: string }
  | { kind: 'child'; id: number; program: Program }
  | { kind: 'ownId' }
  | { kind: 'write'; id: number }
  | { kind: 'plain'; ms: number }
  | { kind: 'cleanup'; body: Node; cleanup: Node };

export interface Program {
  id: string;
  root: Node;
  /** It throws in the end. */
  fails: boolean;
  /** Its root is a sequence, and what one node has answered is the fact of a checkpoint. */
  chapters?: boolean;
}

export interface Lab {
  process: SimProcess;
  effects: Effects;
  /** Called in a step after `createHook`: its row must be there. */
  announce: (token: string) => Promise<void>;
  /** How many programs execute at once. */
  limit: number | null;
}

export const LOG = 'log';

/** What a program throws that fails. */
export const PLANNED = 'as planned';

/** What a hook is worth that nobody answered in time. */
const EXPIRED = 'expired';

/** How payloads begin that a strict hook refuses. */
export const BAD = 'bad';

export function hookToken(run: string, id: number): string {
  return `${run}-hook-${id}`;
}

export function childId(run: string, id: number): string {
  return `${run}-child-${id}`;
}

/** The workflow that executes programs, as one process knows it. */
export function programWorkflow(lab: Lab): Workflow<Program> {
  const limits = lab.limit === null ? {} : { concurrency: { limit: lab.limit } };
  const execute = async (input: Program): Promise<unknown> => {
    const chapters = input.chapters === true && input.root.kind === 'seq' ? input.root.nodes : null;
    if (chapters === null) lab.effects.observed(input.id, 'the time at the start', now());
    lab.effects.observed(input.id, 'the UUID at the start', randomUUID());
    const interpreter = new Interpreter(lab, { program, run: input.id });
    const value = await (chapters === null ? interpreter.execute(input.root) : interpreter.chapters(chapters));
    lab.effects.observed(input.id, 'the time at the end', now());
    lab.effects.observed(input.id, 'the value at the end', value);
    if (input.fails) throw new Error(PLANNED);
    return value;
  };
  const program: Workflow<Program> = workflow('program', execute, limits);
  return program;
}

class Interpreter {
  readonly #lab: Lab;
  readonly #program: Workflow<Program>;
  readonly #run: string;

  constructor(lab: Lab, { program, run }: { program: Workflow<Program>; run: string }) {
    this.#lab = lab;
    this.#program = program;
    this.#run = run;
  }

  /** Nodes whose answers are recorded are passed over: their events are not loaded again. */
  async chapters(nodes: Node[]): Promise<unknown[]> {
    const context = requireContext('chapters');
    const values = context.checkpoints.map((fact) => fact.value);
    for (const [index, node] of nodes.entries()) {
      if (index < values.length) continue;
      const path = `chapter#${index}`;
      this.#lab.effects.observed(this.#run, `the time at the start of ${path}`, now());
      const value = await context.within({ path, kind: 'workflow' }, () => this.execute(node));
      values.push(value);
      await context.moveCheckpoint(() => {
        const header = { type: 'segment_completed', key: path, at: context.now() } as const;
        return { facts: [draftEvent(header, { value, what: path })] };
      });
    }
    return values;
  }

  async execute(node: Node): Promise<unknown> {
    switch (node.kind) {
      case 'step':
        return this.#step(node);
      case 'sleep':
        await sleep(node.ms);
        this.#lab.effects.observed(this.#run, `the time after sleep ${node.id}`, now());
        return null;
      case 'seq':
        return this.#sequence(node.nodes);
      case 'par':
        return Promise.all(node.nodes.map((each) => this.execute(each)));
      case 'race':
        return this.#race(node.nodes);
      case 'hook':
        return node.isApproval ? this.#approval(node) : this.#hook(node);
      case 'inbox':
        return this.#inbox(node);
      case 'clash':
        return this.#clash(node);
      case 'ownId':
        return this.#ownId();
      case 'child':
        return this.#child(node);
      case 'write':
        await writeLog({ write: node.id });
        return null;
      case 'plain':
        await new Promise<void>((resolve) => this.#lab.process.clock.schedule(resolve, node.ms));
        return null;
      case 'cleanup':
        return this.#cleanup(node);
    }
  }

  async #step({ plan, retries }: Extract<Node, { kind: 'step' }>): Promise<unknown> {
    const { effects, process } = this.#lab;
    const label = `s${plan.id}`;
    // Half of the steps share a name, so that their keys depend on the order in which the code comes to them.
    const name = plan.id % 2 === 0 ? 'work' : label;
    try {
      const timeout = plan.timeoutMs === null ? {} : { timeout: plan.timeoutMs };
      const value = await step(name, () => effects.execute(process, plan, writeLog), { retries, ...timeout });
      effects.received(this.#run, plan);
      return value;
    } catch (error) {
      if (DurableError.is(error) && error.code !== 'step_timeout') throw error;
      effects.received(this.#run, plan);
      return `failed ${label}`;
    }
  }

  async #sequence(nodes: Node[]): Promise<unknown[]> {
    const values: unknown[] = [];
    for (const node of nodes) values.push(await this.execute(node));
    return values;
  }

  async #race(nodes: Node[]): Promise<unknown> {
    const branches = nodes.map(async (node, index) => [index, await this.execute(node)]);
    for (const branch of branches) branch.catch(() => undefined);
    return Promise.race(branches);
  }

  async #hook(node: Extract<Node, { kind: 'hook' }>): Promise<unknown> {
    const token = hookToken(this.#run, node.id);
    const hook = createHook({
      token,
      ...(node.isStrict ? { schema: STRICT } : {}),
      ...(node.expiresIn === null ? {} : { expiresIn: node.expiresIn }),
    });
    await step(`announce ${node.id}`, () => this.#lab.announce(token));
    if (node.gapMs > 0) await sleep(node.gapMs);
    try {
      return await hook;
    } catch (error) {
      if (DurableError.is(error, 'hook_expired')) return EXPIRED;
      throw error;
    }
  }

  /** As an agent asks for one. */
  async #approval(node: Extract<Node, { kind: 'hook' }>): Promise<unknown> {
    const context = requireContext('an approval');
    const token = hookToken(this.#run, node.id);
    const requestedAt = context.now();
    const expiresAt = requestedAt + (node.expiresIn ?? 0);
    const asked = { tool: 'pay', toolCallId: token, input: null, reason: null };
    const terms = { ...NO_TERMS, requestedAt, expiresAt, remindAt: [(requestedAt + expiresAt) / 2], isTold: true };
    const details = { ...UNASKED, ...asked, id: token, question: 'execute' as const, inputSchema: null, turn: 0 };
    const key = context.nextKey(`approval ${node.id}`);
    context.createHook(
      approvalHook(key, { details: { ...details, requestedAt, expiresAt, approvers: null }, needed: 1 }),
    );
    await step(`announce ${node.id}`, () => this.#lab.announce(token));
    if (node.gapMs > 0) await sleep(node.gapMs);
    const watched = { ...asked, key, tokenHash: approvalTokenHash(token), approvalId: token, terms };
    return decisionOf<unknown>(context, watched, {
      onApprovalRequested: () => undefined,
      settle: (decision) => decision?.reason ?? EXPIRED,
    });
  }

  async #inbox(node: Extract<Node, { kind: 'inbox' }>): Promise<unknown> {
    const hook = createHook({ token: hookToken(this.#run, node.id), many: true });
    const values: unknown[] = [];
    const { closesAfterMs } = node;
    if (closesAfterMs === null) for (let count = 0; count < node.count; count += 1) values.push(await hook);
    else {
      const take = async (): Promise<void> => {
        for await (const value of hook) values.push(value);
      };
      await Promise.all([sleep(closesAfterMs).then(() => hook.dispose()), take()]);
    }
    this.#lab.effects.observed(this.#run, `the order of inbox ${node.id}`, values);
    return values;
  }

  async #clash({ token }: Extract<Node, { kind: 'clash' }>): Promise<unknown> {
    const hook = createHook({ token });
    try {
      return await hook;
    } catch (error) {
      if (DurableError.is(error, 'hook_conflict')) return 'conflict';
      throw error;
    }
  }

  async #child(node: Extract<Node, { kind: 'child' }>): Promise<unknown> {
    const id = childId(this.#run, node.id);
    try {
      return await child(this.#program, node.program, { id });
    } catch (error) {
      // Somebody has cancelled the child alone.
      if (DurableError.is(error, 'cancelled') && error.details['run'] === id) return null;
      if (error instanceof Error && error.message === PLANNED && node.program.fails) return null;
      throw error;
    }
  }

  /** A child cannot have the id of a run that is there. */
  async #ownId(): Promise<unknown> {
    try {
      return await child(
        this.#program,
        { id: this.#run, root: { kind: 'seq', nodes: [] }, fails: false },
        { id: this.#run },
      );
    } catch (error) {
      if (DurableError.is(error, 'run_conflict')) return 'conflict';
      throw error;
    }
  }

  async #cleanup({ body, cleanup }: Extract<Node, { kind: 'cleanup' }>): Promise<unknown> {
    try {
      return await this.execute(body);
    } catch (error) {
      await shield(() => this.execute(cleanup));
      throw error;
    }
  }
}

/** Takes no payload that says it is bad. */
const STRICT: StandardSchemaV1<unknown, unknown> = {
  '~standard': {
    version: 1,
    vendor: 'simulation',
    validate: (value) => (String(value).startsWith(BAD) ? { issues: [{ message: 'it is bad' }] } : { value }),
  },
};

async function writeLog(chunk: unknown): Promise<void> {
  const writer = getWritable({ namespace: LOG }).getWriter();
  await writer.write(chunk);
  writer.releaseLock();
}

/** What does not fit between a program and its result; undefined if all fits. */
export function misfit(node: Node, value: unknown, payloads: (id: number) => unknown[]): string | undefined {
  switch (node.kind) {
    case 'step':
      return misfitOfStep(node, value);
    case 'sleep':
    case 'write':
    case 'plain':
      return value === null ? undefined : `${JSON.stringify(value)} is not null`;
    case 'seq':
    case 'par':
      return misfitOfAll(node.nodes, value, payloads);
    case 'race':
      return misfitOfRace(node.nodes, value, payloads);
    case 'hook':
      return misfitOfHook(node, value, payloads);
    case 'inbox': {
      const expected = payloads(node.id).map(String).toSorted();
      const got = Array.isArray(value) ? (value as unknown[]).map(String).toSorted() : [];
      return JSON.stringify(got) === JSON.stringify(expected)
        ? undefined
        : `${JSON.stringify(got)} are not the payloads ${JSON.stringify(expected)}`;
    }
    case 'ownId':
      return value === 'conflict' ? undefined : `${JSON.stringify(value)} is no conflict`;
    case 'clash':
      return typeof value === 'string' ? undefined : `${JSON.stringify(value)} is no payload`;
    case 'child':
      return undefined; // The child's own result is looked at where it is a run.
    case 'cleanup':
      return misfit(node.body, value, payloads);
  }
}

function misfitOfHook(
  { id, isStrict, expiresIn }: Extract<Node, { kind: 'hook' }>,
  value: unknown,
  payloads: (id: number) => unknown[],
): string | undefined {
  const isBad = (payload: unknown): boolean => isStrict && String(payload).startsWith(BAD);
  if (value === EXPIRED && expiresIn !== null) {
    const good = payloads(id).find((payload) => !isBad(payload));
    return good === undefined ? undefined : `hook ${id} expired although it took ${JSON.stringify(good)}`;
  }
  const isGood = payloads(id).includes(value) && !isBad(value);
  return isGood ? undefined : `${JSON.stringify(value)} is no payload of hook ${id}`;
}

function misfitOfStep(node: Extract<Node, { kind: 'step' }>, value: unknown): string | undefined {
  const { id, failures, timeoutMs } = node.plan;
  const failed = `failed s${id}`;
  // How often it is tried depends on how long its attempts take, and on who dies.
  if (timeoutMs !== null && (value === failed || value === `s${id}`)) return undefined;
  const expected = failures > node.retries ? failed : `s${id}`;
  return value === expected ? undefined : `${JSON.stringify(value)} is not ${expected}`;
}

function misfitOfAll(nodes: Node[], value: unknown, payloads: (id: number) => unknown[]): string | undefined {
  if (!Array.isArray(value) || value.length !== nodes.length)
    return `${JSON.stringify(value)} has not ${nodes.length} values`;
  for (const [index, node] of nodes.entries()) {
    const found = misfit(node, value[index], payloads);
    if (found !== undefined) return found;
  }
  return undefined;
}

function misfitOfRace(nodes: Node[], value: unknown, payloads: (id: number) => unknown[]): string | undefined {
  if (!Array.isArray(value)) return `${JSON.stringify(value)} is no winner`;
  const winner = nodes[Number(value[0])];
  return winner === undefined ? `branch ${String(value[0])} is none` : misfit(winner, value[1], payloads);
}

/** All nodes of a tree, without those of children. */
export function* nodesOf(node: Node): Generator<Node> {
  yield node;
  if (node.kind === 'seq' || node.kind === 'par' || node.kind === 'race')
    for (const each of node.nodes) yield* nodesOf(each);
  if (node.kind === 'cleanup') {
    yield* nodesOf(node.body);
    yield* nodesOf(node.cleanup);
  }
}

/** A program and the programs of its children, theirs included. */
export function* programsOf(program: Program): Generator<Program> {
  yield program;
  for (const node of nodesOf(program.root)) if (node.kind === 'child') yield* programsOf(node.program);
}
