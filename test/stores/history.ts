/** Random histories of store operations. A move is symbolic; what it means depends on what the reference store has by then. */

import * as fc from 'fast-check';
import type {
  Claim,
  Commit,
  DeliverResult,
  LedgerRow,
  Limit,
  NewHook,
  NewRun,
  Run,
  Store,
  Then,
  Token,
} from '../../src/runtime/store.ts';
import { isPlain } from '../../src/stores/postgres/plain-commit.ts';
import type { ManualClock } from '../../src/testing/manual-clock.ts';

const RUNS = ['r0', 'r1', 'r2', 'r3', 'r4', 'r5'];
const PARTS = ['a', 'b'];
const MESSAGES = ['m0', 'm1', 'm2', 'r5'];
const TOKENS = ['h0', 'h1', 'h2'];
const QUEUES = ['q0', 'q1'];
const STREAMS = ['s0', 's1:x'];
const LEASE_MS = 900;
const [ALONE, PAIR] = [
  { key: 'alone', most: 1 },
  { key: 'pair', most: 2 },
];
/** A rate and a slot together would make it a store's own affair when the next claim is worth it (S9). */
const LIMITS = [[], [], [], [ALONE], [PAIR], [ALONE, PAIR], [PAIR, ALONE], [{ key: 'rate', most: 2, perMs: 700 }]];

export interface Replica {
  store: Store;
  /** The tokens that its claims answered, newest last. */
  tokens: Map<string, Token[]>;
}

export interface Move {
  run(replica: Replica, at: { index: number; clock: ManualClock }): Promise<unknown>;
  /** What fast-check prints. */
  [fc.toStringMethod]: () => string;
}

function named(name: string, draft: unknown): Pick<Move, typeof fc.toStringMethod> {
  return { [fc.toStringMethod]: () => `${name} ${fc.stringify(draft)}` };
}

const payload = fc.uint8Array({ maxLength: 4 });
/** Some are alike, some are long. */
const chunk = fc.oneof(
  payload,
  fc
    .tuple(fc.constantFrom(0, 30, 500, 1_500), payload)
    .map(([length, end]) => Uint8Array.of(...new Uint8Array(length), ...end)),
);
const run = fc.constantFrom(...RUNS);
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(value, { freq: 2 });

const newRun: fc.Arbitrary<NewRun> = fc.record({
  id: run,
  workflow: fc.constantFrom('w', 'w', 'w', 'v'),
  version: fc.constant('1'),
  queue: fc.constantFrom(...QUEUES),
  thread: maybe(fc.constantFrom('t0', 't1')),
  tenant: maybe(fc.constantFrom('x', 'y')),
  input: payload,
  inputHash: fc.constantFrom('h', 'h', 'h', 'g'),
  attributes: fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom('1', '2')),
  parent: maybe(fc.record({ run, key: fc.constant('child') })),
  supersedes: maybe(run),
  limits: fc.constantFrom<readonly Limit[]>(...LIMITS),
  whenBusy: fc.constantFrom('reject', 'queue', 'steer', 'interrupt'),
});

const newHook: fc.Arbitrary<NewHook> = fc.record({
  tokenHash: fc.constantFrom(...TOKENS),
  key: fc.constantFrom('k0', 'k1'),
  kind: fc.constantFrom('hook', 'approval', 'webhook'),
  once: fc.boolean(),
  needed: fc.integer({ min: 1, max: 2 }),
  tool: maybe(fc.constant('refund')),
  details: payload,
});

const ledgerRow: fc.Arbitrary<LedgerRow> = fc.record({
  id: fc.constantFrom('l0', 'l1', 'l2'),
  run,
  thread: maybe(fc.constant('t0')),
  tenant: maybe(fc.constant('x')),
  key: fc.constant('turn'),
  attempt: fc.integer({ min: 1, max: 3 }),
  provider: fc.constant('p'),
  model: fc.constant('m'),
  outcome: fc.constantFrom('completed', 'failed', 'aborted', 'unknown'),
  inputTokens: maybe(fc.nat(9)),
  outputTokens: maybe(fc.nat(9)),
  toolCalls: fc.nat(3),
  nanoUsd: maybe(fc.nat(9)),
  details: maybe(payload),
  at: fc.nat(9),
});

type ThenDraft = { then: Then; wakeIn: number };

const then: fc.Arbitrary<ThenDraft> = fc.record({
  wakeIn: fc.integer({ min: -5, max: 500 }),
  then: fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('run' as const), heartbeat: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), dueAt: fc.constantFrom(null, 0) }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'yield' as const }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('park' as const), code: fc.constant('divergence'), details: payload }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('end' as const),
        status: fc.constantFrom('completed', 'failed', 'cancelled'),
        result: maybe(payload),
        error: maybe(payload),
        errorCode: maybe(fc.constant('step_failed')),
      }),
    },
  ),
});

interface CommitDraft extends ThenDraft {
  run: string;
  isStale: boolean;
  isOff: boolean;
  repeats: boolean;
  seesAll: boolean;
  parts: Pick<Commit, 'events' | 'chunks' | 'hooks' | 'starts' | 'cancels' | 'ledger'>;
  suspects: string[] | null;
  checkpoints: boolean;
}

const seldom = fc.nat(9).map((value) => value === 0);
const few = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant<T[]>([]) }, fc.array(value, { maxLength: 2 }));

const commitDraft: fc.Arbitrary<CommitDraft> = fc
  .record({
    run,
    isStale: seldom,
    isOff: seldom,
    repeats: seldom,
    seesAll: fc.nat(3).map((value) => value > 0),
    parts: fc.record({
      events: fc.array(payload, { maxLength: 2 }),
      chunks: few(
        fc.record({ stream: fc.constantFrom(...STREAMS), chunks: fc.array(chunk, { maxLength: 3 }), close: seldom }),
      ),
      hooks: fc.record({ create: few(newHook), close: few(fc.constantFrom(...TOKENS)) }),
      starts: few(newRun),
      cancels: few(run),
      ledger: few(ledgerRow),
    }),
    suspects: maybe(fc.constant<string[]>(['charge'])),
    checkpoints: seldom,
    end: then,
  })
  .map(({ end, ...draft }) => ({ ...draft, ...end }));

function toCommit(draft: CommitDraft, known: { row: Run | null; tokens: Token[]; index: number; now: number }): Commit {
  const { row, tokens, index, now } = known;
  const inboxHead = row?.inboxHead ?? 0;
  const head = row?.head ?? 0;
  return {
    ...draft.parts,
    run: draft.run,
    token: tokens.at(draft.isStale ? -2 : -1) ?? { epoch: 0, nonce: 'none' },
    expect: draft.isOff ? head + 1 : head,
    id: draft.repeats ? `c${index - 1}` : `c${index}`,
    leaseMs: LEASE_MS,
    seen: draft.seesAll ? inboxHead : (row?.seen ?? 0),
    received: row?.seen ?? 0,
    ...(draft.suspects === null ? {} : { suspects: draft.suspects }),
    ...(draft.checkpoints ? { checkpoint: head } : {}),
    then:
      draft.then.kind === 'wait' && draft.then.dueAt !== null
        ? { kind: 'wait', dueAt: now + draft.wakeIn }
        : draft.then,
  };
}

function remember(replica: Replica, held: { run: string; token: Token }): void {
  const tokens = replica.tokens.get(held.run) ?? [];
  if (JSON.stringify(tokens.at(-1)) !== JSON.stringify(held.token))
    replica.tokens.set(held.run, [...tokens, held.token]);
}

const startMove = fc
  .record({ runs: fc.array(newRun, { minLength: 1, maxLength: 3 }), claims: fc.boolean() })
  .map(({ runs, claims }): Move => ({
    ...named('start', { runs, claims }),
    async run(replica, { index }) {
      const results = await replica.store.start(runs, claims ? { nonce: `n${index}`, leaseMs: LEASE_MS } : undefined);
      for (const result of results)
        if (result.kind === 'created' && result.token !== null)
          remember(replica, { run: result.run.id, token: result.token });
      return results;
    },
  }));

const claimMove = fc
  .record({ queues: fc.subarray(QUEUES), limit: fc.integer({ min: 1, max: 4 }), suspects: fc.nat(2), repeats: seldom })
  .map(({ repeats, ...request }): Move => ({
    ...named('claim', { repeats, ...request }),
    async run(replica, { index }) {
      const result = await replica.store.claim({
        ...request,
        leaseMs: LEASE_MS,
        nonce: `n${repeats ? index - 1 : index}`,
      });
      for (const { run: claimed, token } of result.claims) remember(replica, { run: claimed.id, token });
      return { ...result, claims: result.claims.map(bare).toSorted((a, b) => (a.run.id < b.run.id ? -1 : 1)) };
    },
  }));

const commitMove = fc
  .uniqueArray(commitDraft, { minLength: 1, maxLength: 3, selector: (draft) => draft.run })
  .map((drafts): Move => ({
    ...named('commit', drafts),
    async run(replica, { index, clock }) {
      const batch: Commit[] = [];
      for (const draft of drafts) {
        const row = await replica.store.get(draft.run);
        batch.push(toCommit(draft, { row, tokens: replica.tokens.get(draft.run) ?? [], index, now: clock.now() }));
      }
      // Of two that touch each other a store may apply either first; Postgres begins with the plain ones.
      return replica.store.commit(batch.toSorted((a, b) => Number(isPlain(b)) - Number(isPlain(a))));
    },
  }));

const delivery = fc.record(
  {
    to: fc.oneof(
      fc.record({ run }),
      fc.record({ hook: fc.constantFrom(...TOKENS), kind: fc.constantFrom('hook' as const, 'webhook' as const) }),
    ),
    id: fc.constantFrom(...MESSAGES),
    kind: fc.constantFrom('wake' as const, 'user' as const),
    payload,
    inputHash: fc.constant('h'),
    by: fc.constantFrom('ada', 'bob'),
    decision: fc.record({ approved: fc.boolean() }),
  },
  { requiredKeys: ['to', 'id', 'payload'] },
);

const deliverMove = fc
  .record({ deliveries: fc.array(delivery, { minLength: 1, maxLength: 3 }), claims: fc.option(fc.subarray(QUEUES)) })
  .map(({ deliveries, claims }): Move => ({
    ...named('deliver', { deliveries, claims }),
    async run(replica, { index }) {
      const claim = claims === null ? undefined : { nonce: `n${index}`, leaseMs: LEASE_MS, queues: claims };
      const results = await replica.store.deliver(deliveries, claim);
      for (const result of results)
        if (result.kind === 'ok' && result.claimed !== undefined)
          remember(replica, { run: result.run, token: result.claimed.claim.token });
      return results.map(withoutMessages);
    },
  }));

function withoutMessages(result: DeliverResult): DeliverResult {
  if (result.kind !== 'ok' || result.claimed === undefined) return result;
  return { ...result, claimed: { ...result.claimed, claim: bare(result.claimed.claim) } };
}

/** A store need not answer the messages. */
function bare(claim: Claim): Claim {
  const { messages: _, ...rest } = claim;
  return rest;
}

const controlMove = fc
  .record({ run, control: fc.constantFrom('cancel' as const, 'resume' as const, 'terminate' as const) })
  .map((command): Move => ({
    ...named('control', command),
    run: ({ store }) => store.control(command.run, command.control),
  }));
const noteMove = fc
  .record({ token: fc.constantFrom(...TOKENS), note: payload })
  .map(({ token, note }): Move => ({ ...named('note', token), run: ({ store }) => store.note(token, note) }));
const gcMove = fc
  .record({ olderThanMs: fc.nat(1_000), limit: fc.integer({ min: 1, max: 2 }) })
  .map((limits): Move => ({ ...named('gc', limits), run: ({ store }) => store.gc(limits) }));
const trimMove = fc.record({ keep: fc.nat(6), spare: fc.subarray([...STREAMS, 's1:']) }).map((request): Move => ({
  ...named('trim', request),
  run: async ({ store }) => (await store.trim({ ...request, limit: 100 })).removed,
}));
const compactMove = fc.record({ run, stream: fc.constantFrom(...STREAMS) }).map((of): Move => ({
  ...named('compact', of),
  // How much there is to do is the store's own affair.
  run: async ({ store }) => void (await store.compact(of.run, of.stream)),
}));
const putMove = fc
  .record({ id: fc.constantFrom(...RUNS, ...MESSAGES), name: fc.constantFrom(...PARTS) })
  .map(({ id, name }): Move => ({
    ...named('putParts', { id, name }),
    run: ({ store }) => store.putParts(id, [{ hash: name.repeat(64), bytes: new TextEncoder().encode(name) }]),
  }));

export const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 4, arbitrary: startMove },
  { weight: 6, arbitrary: claimMove },
  { weight: 8, arbitrary: commitMove },
  { weight: 4, arbitrary: deliverMove },
  { weight: 1, arbitrary: controlMove },
  { weight: 1, arbitrary: noteMove },
  { weight: 1, arbitrary: gcMove },
  { weight: 1, arbitrary: trimMove },
  { weight: 1, arbitrary: compactMove },
  { weight: 1, arbitrary: putMove },
);

/** All that can be asked of a store. */
export async function everything(store: Store): Promise<unknown> {
  const { items } = await store.list({});
  const perRun = await Promise.all(
    items.map(async ({ id }) => [
      await store.load(id),
      await store.load(id, 0),
      await store.getParts(
        id,
        PARTS.map((name) => name.repeat(64)),
      ),
      ...(await Promise.all(
        STREAMS.flatMap((stream) =>
          [0, 1, 3, 8].map((from) => store.read(id, stream, { from, maxBytes: from === 1 ? 4_000 : 3 })),
        ),
      )),
    ]),
  );
  const filtered = await Promise.all([
    store.list({ status: ['ready', 'waiting'], limit: 2 }),
    store.list({ status: ['failed', 'running'], tenant: 'x' }),
    store.list({ thread: 't0', attributes: { a: '1' } }),
    store.list({ parent: 'r0' }),
    store.list({ errorCode: 'cancelled' }),
    store.listHooks({ kind: 'approval', status: ['open'] }),
    store.listHooks({ status: ['resolved', 'closed'], limit: 2 }),
    store.ledger({ run: 'r0' }),
    store.ledger({ limit: 1 }),
  ]);
  return {
    items,
    perRun,
    filtered: filtered.map((page) => page.items),
    hooks: (await store.listHooks({})).items,
    backlog: await store.backlog(['other@1']),
    limits: await store.limits(['alone', 'pair', 'rate']),
    threads: [await store.thread('t0'), await store.thread('t1')],
    totals: await store.ledgerTotals([
      { run: 'r0' },
      { thread: 't0', tenant: null },
      { thread: 't0', tenant: 'x' },
      { tenant: 'x' },
      { tenant: 'x', period: '1970-01' },
    ]),
  };
}
