/** What the specs of the store suite are written with. They use `node:assert`, and whatever `describe` and `it` they are given. */

import assert from 'node:assert/strict';
import type { Payload } from '../../runtime/codec.ts';
import type {
  ClaimResult,
  Commit,
  CommitResult,
  LedgerRow,
  NewHook,
  NewRun,
  Page,
  Run,
  Store,
  Token,
} from '../../runtime/store.ts';

/** `describe` and `it` of vitest, `node:test` and their like. */
export interface SuiteRunner {
  describe(name: string, body: () => void): unknown;
  it: {
    (name: string, body: () => Promise<void>): unknown;
    skip(name: string, body: () => Promise<void>): unknown;
  };
}

/** An empty store for one test. */
export interface TestStore {
  store: Store;
  /** Moves the store's clock on. */
  advance?(ms: number): Promise<void>;
  /** Closes the store and removes what it kept. */
  close(): Promise<void>;
  /** Closes the store and opens one on the same data; `close` then closes that. */
  reopen?(): Promise<Store>;
}

export type MakeStore = () => Promise<TestStore>;

export interface SuiteOptions {
  /** Why tests cannot be run on this store, by what they need: `time` is `advance`, `reopen` is `reopen`. */
  skip?: { time?: string; reopen?: string };
}

/** What each spec file of the suite exports. */
export type DescribeOperation = (runner: SuiteRunner, makeStore: MakeStore, options?: SuiteOptions) => void;

export interface Kit {
  store: Store;
  advance(ms: number): Promise<void>;
  reopen(): Promise<Store>;
  /** Starts a run and claims it in the same transition. */
  hold(change?: Partial<NewRun>): Promise<Holder>;
}

type Body = (kit: Kit) => Promise<void>;

export interface Spec {
  test(name: string, body: Body): void;
  /** Needs time to pass. */
  timed(name: string, body: Body): void;
  /** Needs a store that outlives its object. */
  durable(name: string, body: Body): void;
}

/** Makes the specs of one operation; each test has a store of its own. */
export function describeOperation(name: string, specs: (spec: Spec) => void): DescribeOperation {
  return (runner, makeStore, options = {}) => {
    const add = (title: string, test: { body: Body; skip: string | undefined }): void => {
      const run = (): Promise<void> => runTest(makeStore, test.body);
      if (test.skip === undefined) runner.it(title, run);
      else runner.it.skip(`${title} (${test.skip})`, run);
    };
    runner.describe(`store: ${name}`, () => {
      specs({
        test: (title, body) => add(title, { body, skip: undefined }),
        timed: (title, body) => add(title, { body, skip: options.skip?.time }),
        durable: (title, body) => add(title, { body, skip: options.skip?.reopen }),
      });
    });
  };
}

async function runTest(makeStore: MakeStore, body: Body): Promise<void> {
  const made = await makeStore();
  try {
    await body({
      store: made.store,
      advance: (ms) => required(made.advance, 'advance')(ms),
      reopen: () => required(made.reopen, 'reopen')(),
      hold: (change) => holdRun(made.store, change),
    });
  } finally {
    await made.close();
  }
}

function required<T>(value: T | undefined, name: string): T {
  assert.ok(value !== undefined, `The store under test has no \`${name}\`. Provide it, or give a reason in \`skip\`.`);
  return value;
}

export const LEASE_MS = 15_000;
export const QUEUE = 'order@1';

export function bytes(text: string): Payload {
  return new TextEncoder().encode(text);
}

export function text(payload: Payload | null | undefined): string | null {
  return payload === null || payload === undefined ? null : new TextDecoder().decode(payload);
}

export function texts(payloads: Payload[]): Array<string | null> {
  return payloads.map(text);
}

export function newRun(change: Partial<NewRun> = {}): NewRun {
  return {
    id: 'run_1',
    workflow: 'order',
    version: '1',
    queue: QUEUE,
    thread: null,
    tenant: null,
    input: bytes('input'),
    inputHash: 'hash',
    attributes: {},
    parent: null,
    supersedes: null,
    limits: [],
    ...change,
  };
}

export function newHook(change: Partial<NewHook> = {}): NewHook {
  return {
    tokenHash: 'token_1',
    key: 'hook',
    kind: 'hook',
    once: true,
    needed: 1,
    tool: null,
    details: bytes('details'),
    ...change,
  };
}

export function ledgerRow(change: Partial<LedgerRow> = {}): LedgerRow {
  return {
    id: 'l',
    run: 'run_1',
    thread: null,
    tenant: null,
    key: 'turn',
    attempt: 1,
    provider: 'p',
    model: 'm',
    outcome: 'completed',
    inputTokens: 1,
    outputTokens: null,
    toolCalls: 0,
    nanoUsd: null,
    details: null,
    at: 1,
    ...change,
  };
}

/** All items, page by page. */
export async function everyPage<T>(
  ask: (cursor: string | undefined) => Promise<Page<T>>,
): Promise<{ items: T[]; pages: number }> {
  const items: T[] = [];
  let pages = 0;
  for (let cursor: string | undefined; ;) {
    const page = await ask(cursor);
    items.push(...page.items);
    pages += 1;
    if (page.cursor === null) return { items, pages };
    cursor = page.cursor;
  }
}

/** An answer as the kind that it must be. */
export function expectKind<T extends { kind: string }, K extends T['kind']>(
  answer: T | undefined,
  kind: K,
): Extract<T, { kind: K }> {
  assert.equal(answer?.kind, kind);
  return answer as Extract<T, { kind: K }>;
}

export function only<T>(items: T[]): T {
  assert.equal(items.length, 1);
  return items[0] as T;
}

export async function startOne(store: Store, change: Partial<NewRun> = {}): Promise<Run> {
  return expectKind(only(await store.start([newRun(change)])), 'created').run;
}

export async function getRun(store: Store, id: string): Promise<Run> {
  const run = await store.get(id);
  assert.ok(run !== null, `There is no run "${id}".`);
  return run;
}

/** The journal of a run, as text. */
export async function eventsOf({ store }: Kit, run: string): Promise<Array<string | null>> {
  return texts((await store.load(run, 0))?.events ?? []);
}

/** A claim of at most one run. */
export async function claimOne(
  store: Store,
  change: { nonce: string; queues?: string[]; leaseMs?: number; suspects?: number },
): Promise<ClaimResult> {
  return store.claim({ queues: [QUEUE], limit: 1, suspects: 1, leaseMs: LEASE_MS, ...change });
}

export interface Holder {
  id: string;
  token: Token;
  head: number;
  seen: number;
  /** Commits as this holder; what is not said is as a plain `run` commit has it. Follows `head`. */
  commit(change?: Partial<Commit>): Promise<CommitResult>;
  /** The same for a commit that must be applied. */
  apply(change?: Partial<Commit>): Promise<Extract<CommitResult, { kind: 'applied' }>>;
  end(): Promise<void>;
}

export const COMPLETED = { kind: 'end', status: 'completed', result: null, error: null, errorCode: null } as const;

export function holder(store: Store, held: { run: Run; token: Token }): Holder {
  let commits = 0;
  const self: Holder = {
    id: held.run.id,
    token: held.token,
    head: held.run.head,
    seen: held.run.seen,
    async commit(change = {}) {
      commits += 1;
      const request = emptyCommit({
        run: self.id,
        token: self.token,
        expect: self.head,
        id: `${self.token.nonce}/${commits}`,
        seen: self.seen,
        received: self.seen,
        ...change,
      });
      const result = only(await store.commit([request]));
      if (result.kind === 'applied') {
        self.head = result.head;
        self.seen = request.seen;
      }
      return result;
    },
    apply: async (change) => expectKind(await self.commit(change), 'applied'),
    async end() {
      await self.apply({ then: COMPLETED });
    },
  };
  return self;
}

export function emptyCommit(change: Pick<Commit, 'run' | 'token' | 'expect' | 'id'> & Partial<Commit>): Commit {
  return {
    leaseMs: LEASE_MS,
    events: [],
    chunks: [],
    hooks: { create: [], close: [] },
    starts: [],
    cancels: [],
    ledger: [],
    seen: 0,
    received: 0,
    then: { kind: 'run' },
    ...change,
  };
}

async function holdRun(store: Store, change: Partial<NewRun> = {}): Promise<Holder> {
  const start = newRun(change);
  const created = expectKind(
    only(await store.start([start], { nonce: `nonce_${start.id}`, leaseMs: LEASE_MS })),
    'created',
  );
  assert.ok(created.token !== null, `The run "${start.id}" was created, but not claimed.`);
  return holder(store, { run: created.run, token: created.token });
}
