/**
 * A spike: everturn's context interface on Restate's journal instead of ours. What agents need is here (operations, sleep, ids);
 * what stays in a store of ours (streams, hooks, approvals, threads, children) is refused by name.
 *
 *  R1 A turn and a tool is one `ctx.run` with its key as the name; an agent call is only the scope around them.
 *  R2 What a body throws in its last attempt is recorded as a value and thrown outside, so that the loop sees the tool's own error
 *     and Restate does not try for ever.
 *  R3 Restate replays by order, not by key: nothing can be looked up before it is asked for, so `recorded` and `journal` are empty.
 */

import { createHmac } from 'node:crypto';
import { serde } from '@restatedev/restate-sdk';
import type { WorkflowContext } from '@restatedev/restate-sdk';
import { decodeValue, encodeValue } from '../../src/runtime/codec.ts';
import { currentFrame } from '../../src/runtime/context.ts';
import type { NewScope, Operation, OperationMetadata, RunContext, Scope } from '../../src/runtime/context.ts';
import type { Logger } from '../../src/runtime/logger.ts';
import type { Run } from '../../src/runtime/store.ts';

type Outcome = { value: unknown } | { error: unknown };

/** Runs `body` as a durable run of everturn whose journal is that of a Restate workflow. `secret` signs ids. */
export async function withRestate<T>(
  ctx: WorkflowContext,
  { secret, body }: { secret: string; body: () => Promise<T> },
): Promise<T> {
  const context = createRestateContext(ctx, { secret, startedAt: await ctx.date.now() });
  return currentFrame.run({ context, scope: new RestateScope({ path: '', kind: 'workflow' }, null) }, body);
}

function createRestateContext(
  ctx: WorkflowContext,
  { secret, startedAt }: { secret: string; startedAt: number },
): RunContext {
  const scope = (): RestateScope => currentFrame.getStore()?.scope as RestateScope;
  const context: RunContext = {
    run: runRow(ctx.key, startedAt),
    logger: loggerOf(ctx),
    publicUrl: undefined,
    agentDefaults: undefined,
    signal: ctx.request().attemptCompletedSignal,
    replaying: false,
    checkpoints: [],
    userMessages: { take: refused('steering'), peek: () => undefined, drain: () => [], remove: () => [] },
    now: () => startedAt,
    storeNow: () => startedAt,
    sign: (text) => createHmac('sha256', secret).update(text).digest('hex'),
    scope,
    nextKey: (name) => scope().nextKey(name),
    within: (of, body) => currentFrame.run({ context, scope: new RestateScope(of, scope()) }, body),
    perform: (operation) => perform(ctx, { context, operation }),
    recorded: () => undefined,
    facts: () => [],
    journal: () => [],
    guard: (_prefix, body) => body(),
    // Facts name decisions that a replay must repeat (approvals, doubts), or failures: Restate repeats what was journaled by itself.
    append: async () => {},
    sleep: (_key, until) => ctx.sleep(until instanceof Date ? until.getTime() - startedAt : until),
    emit: refused('streams'),
    checkRoom: refused('streams'),
    emittedTo: () => 0,
    closeStream: refused('streams'),
    flush: async () => {},
    readStream: refused('streams'),
    moveCheckpoint: refused('checkpoints'),
    buffer: refused('hooks'),
    createHook: refused('hooks'),
    reopenHook: refused('hooks'),
    closeHook: refused('hooks'),
    noteHook: refused('hooks'),
    childRun: refused('children'),
    child: refused('children'),
    lineage: refused('children'),
    notify: refused('children'),
    aside: (work) => work(),
    ledgerTotals: refused('budgets'),
    threadRuns: refused('threads'),
    isFollowed: refused('threads'),
  };
  return context;
}

/** R1, R2 */
async function perform<T>(
  ctx: WorkflowContext,
  { context, operation }: { context: RunContext; operation: Operation<T> },
): Promise<T> {
  const { key, kind, body, retries = 0, toolCallId } = operation;
  const { signal } = context;
  if (kind === 'agent') return context.within({ path: key, kind }, async () => body(firstOf(signal)));
  let attempts = 0;
  const record = async (): Promise<Uint8Array> => {
    attempts += 1;
    const metadata: OperationMetadata = {
      key,
      idempotencyKey: `${context.run.id}/${key}`,
      attempt: attempts,
      startedAt: context.now(),
      signal,
      ...(toolCallId === undefined ? {} : { toolCallId }),
    };
    const scope: NewScope = { path: key, kind: kind === 'tool' ? 'tool' : 'step', metadata };
    try {
      const value = await context.within(scope, () => body({ ...firstOf(signal), attempt: attempts }));
      return encodeValue({ value } satisfies Outcome, `the result of "${key}"`);
    } catch (error) {
      if (kind === 'turn' || attempts <= retries || signal.aborted) throw error;
      return encodeValue({ error } satisfies Outcome, `the error of "${key}"`);
    }
  };
  const outcome = decodeValue(await ctx.run(key, record, { serde: serde.binary })) as Outcome;
  if ('error' in outcome) throw outcome.error;
  return outcome.value as T;
}

function firstOf(signal: AbortSignal): { attempt: number; signal: AbortSignal; startTimeout: () => void } {
  return { attempt: 1, signal, startTimeout: () => {} };
}

class RestateScope implements Scope {
  readonly path: string;
  readonly kind: NewScope['kind'];
  readonly parent: RestateScope | null;
  readonly ended = false;
  readonly metadata?: OperationMetadata;
  readonly #counts = new Map<string, number>();

  constructor({ path, kind, metadata }: NewScope, parent: RestateScope | null) {
    this.path = path;
    this.kind = kind;
    this.parent = parent;
    if (metadata !== undefined) this.metadata = metadata;
  }

  nextKey(name: string): string {
    const count = this.#counts.get(name) ?? 0;
    this.#counts.set(name, count + 1);
    return this.keyOf(count === 0 ? name : `${name}#${count}`);
  }

  keyOf(name: string): string {
    return this.path === '' ? name : `${this.path}/${name}`;
  }

  writes(): void {
    refused('streams')();
  }
}

function refused(what: string): () => never {
  return () => {
    throw new Error(
      `Cannot use ${what} here: this run lives in Restate, and ${what} need a store of everturn beside it.`,
    );
  };
}

function loggerOf(ctx: WorkflowContext): Logger {
  const log =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (fields: object, message?: string): void =>
      ctx.console[level](message ?? '', fields);
  return { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };
}

function runRow(id: string, startedAt: number): Run {
  const none = new Uint8Array();
  return {
    id,
    workflow: 'restate',
    version: '1',
    queue: 'restate',
    thread: null,
    tenant: null,
    input: none,
    inputHash: '',
    attributes: {},
    parent: null,
    supersedes: null,
    limits: [],
    status: 'running',
    dueAt: null,
    epoch: 1,
    nonce: null,
    lastCommit: null,
    head: 0,
    checkpoint: 0,
    inboxHead: 0,
    seen: 0,
    cancel: false,
    attempts: 1,
    suspects: null,
    result: null,
    error: null,
    errorCode: null,
    parked: null,
    createdAt: startedAt,
    updatedAt: startedAt,
    endedAt: null,
  };
}
