/**
 * The store contract: where runs live. A store is a set of transitions, not tables to edit; each call is one atomic
 * transition, or one per run where it takes several runs. The runtime is correct on any store that keeps these
 * obligations; `everturn/testing` has the suite that checks them.
 *
 * General
 *  S1  Refusals are results, never exceptions. A store throws only when it cannot tell, or cannot reach, its data
 *      (`store_unavailable`, `store_full`, `store_read_only`, `store_corrupt`, `store_newer`); it then may or may not have
 *      applied the call, and every call is safe to repeat with the same arguments.
 *  S2  Payloads are opaque bytes. What is queried is a column.
 *  S3  Only the store's clock compares times (`dueAt`, leases, ages). Times are milliseconds since the epoch, on that clock;
 *      answers to holders carry `now`.
 *  S4  What is acknowledged survives as `capabilities.durability` says.
 * Scheduling
 *  S5  `dueAt` is the queue. ready: the moment it became so; running: lease expiry; waiting: wake time or null; queued,
 *      parked and ended: null. A run is claimable when `dueAt <= now`. Earliest first.
 *  S6  A claim sets status running, adds one to `epoch`, stores the caller's `nonce`, sets `dueAt` to now + lease. The token
 *      is both. A claim repeated with the same nonce returns the runs that the first one got and that are still held under it.
 *  S7  A claim of a run that was never claimed (`from: 'start'`) or whose lease expired (`from: 'lease'`) adds one to
 *      `attempts`; one after a wait, a yield or a resume does not.
 *  S8  At most `suspects` of the runs that a claim returns have `attempts >= 3` after it: one that had made no progress yet when its
 *      process died has 2.
 *  S9  `nextDueInMs` is the time until the earliest `dueAt` among the queues asked for that the claim did not return (0 if
 *      more is due now, but for suspects beyond the limit, which do not count); null if there is none. Of runs that a limit blocks
 *      (S30) those that a rate blocks count from the end of its window on, the others do not, nor what falls due behind them.
 * Start
 *  S10 The id is the idempotency key: same workflow and inputHash answers `exists` and changes nothing, other values
 *      `conflict`.
 *  S11 A thread belongs to a tenant, or to none: threads of two tenants are two threads, whatever their ids. It has at most one
 *      active run (ready, running, waiting, parked). If it has one, `whenBusy` decides: `reject`
 *      (default) answers `busy`; `queue` inserts it as queued; `steer` appends the run's input to the active run's inbox as a
 *      message of kind `user` whose id is the new run's id (wakes it as S20 does), no run is made; `interrupt` sets the active
 *      run's cancel flag (as `control` does) and queues the new one. If cancelling ended the active run, the new one is ready,
 *      unless one was queued before it. A `steer` whose id that inbox has for another kind of message answers `conflict`.
 *  S12 A start whose id was accepted as a `user` message by a run of its thread answers `steered` again with that run.
 *  S13 With `claim`, a run that was created as ready is claimed in the same transition (S6, S7), unless it has limits (S33).
 * Commit: the only write of a holder
 *  S14 Order of checks, under the run's lock: (a) `id` equals the run's last commit id: nothing is applied and the answer is
 *      `applied` as of now, `holder` telling whether the token still holds the run; (b) status running and token equal, else
 *      `fenced`; (c) `expect` equals head, `number`, if given, is one more than the commits applied under this token, and `received` is at
 *      most inboxHead, else `moved`: the store has lost what it had acknowledged; (d) `wait` and `end` need `seen == inboxHead`, `wait` also
 *      `cancelSeen` if the cancel flag is set, else `pending` with the messages from `received` on; a `close` of a hook that
 *      took a message which the run has not `seen` likewise;
 *      (e) a created hook whose token hash belongs to another run or key (open, or resolved in a run that has not ended; other hooks
 *      give their token up): `token_taken`; (f) a write to a closed stream:
 *      `stream_closed` (closing it once more is none). A refusal applies nothing of that run and does not hinder the others of the batch.
 *  S15 Applied is all or nothing: events appended at head (seq = position, from 0), chunks at each stream's tail, hooks,
 *      starts (as S10, S11, `exists` is success; a `busy` thread queues), cancels (after the run's own transition), ledger
 *      rows (deduplicated by id), seen, checkpoint (those before it are kept too), suspects.
 *      A hook (not an approval) that its run creates again under the same key after it was resolved is open again,
 *      without a responder.
 *  S16 A commit with events sets `attempts` to 0 and `suspects` to null (unless it sets them). Chunks and heartbeats do not.
 *  S17 `run`: `dueAt` moves to now + lease if `heartbeat` is set or less than two thirds of the lease is left; `extended`
 *      says whether it moved. `wait`: status waiting, dueAt as given (at or before now: ready at once). `yield`: ready, due
 *      now. `park`: parked with code and details. `end`: terminal with result and error; it never changes again.
 *  S18 The end of a run, by whomever: closes its streams and open hooks; makes the thread's oldest queued run ready; appends
 *      to its parent's inbox one message {kind: 'child', id: the run's id, key: the parent's key, payload: result or
 *      error, else no bytes} with `status`, waking it as S20. What the store ends by itself has neither result nor error.
 *  S19 The answer has the new messages (seq >= `received`) and the cancel flag.
 * Deliver
 *  S20 Appends to the inbox under the run's lock, bumps inboxHead; a waiting run becomes ready, due now. Runs that are parked
 *      or queued keep it. `duplicate` if the run's inbox holds a message with that id. An ended run answers `gone`.
 *      With `claim`, a run that took a message (`ok`) and is ready then is claimed in the same transition (S6, S7), if it is of
 *      one of the queues, has no limits (S33), and would not have `attempts >= 3`.
 *  S21 To a hook: by token hash, of the kind that the delivery is for: `approval` with a decision, else the one that it names, else
 *      `hook`. A hook of another kind is `not_found`. An open hook takes it as a message of its run with the hook's key. A `once` hook is then resolved,
 *      and `by`, if it is given, is its responder (`approved`); an approval is resolved when one responder denied or `needed` distinct
 *      responders approved, and only then is the message appended (one: that of the deciding answer). Answers of a responder who answered already are `duplicate`.
 *      A resolved or closed hook answers `gone` with the hook (its responders say who and when), but a repeated id `duplicate`.
 * Control
 *  S22 `cancel` sets the cancel flag; a queued or parked run ends at once as cancelled (errorCode `cancelled`); a waiting one
 *      becomes ready, due now. Children follow when the holder commits `cancels`, or with the run if it ended at once.
 *      `resume` makes a parked run ready with attempts 0 and no suspects. `terminate` ends a run whatever its holder does, as
 *      failed (errorCode `terminated`), and cancels its children; user messages (seq >= seen) become queued runs of the thread
 *      (id and inputHash of the message, input its payload, the rest of the run). An ended run refuses all three.
 * Reading
 *  S23 `load` answers events from `from` on, in order, without a gap up to head, and the messages from the row's `seen` on;
 *      without `from`, events from the last checkpoint on, and beside them in `checkpoints` those at the positions before it that
 *      were checkpoints, in order. One consistent view.
 *  S24 Offsets of a stream are dense, from 0, never reused. `read` answers whole chunks from `from` on, at least one if there
 *      is one, else up to maxBytes; `closed` is true only with the chunks up to the tail. Below what `trim` removed it answers
 *      no chunk, but `expired`: the first offset that is kept, and the reason of the last removal.
 *  S25 `gc` removes only ended runs, with all that belongs to them but their ledger rows.
 *  S26 `watch` hints may be lost; each consumer has a poll behind it. Hints come after the transition is durable.
 *  S27 `trim` removes of a stream all chunks but the newest `keep`, and those that were written longer than `olderThanMs` ago (a store
 *      may let these be an hour older); of runs that have not ended it leaves the streams in `spare` alone: those that it names, and
 *      for a name that ends in a colon all that begin so. Tails stay as they are.
 *      It looks at `limit` streams at most and does a bounded part of the work; what is left is done when its cursor comes again.
 *  S28 `compact` writes a bounded part of a stream anew, in the form that takes least room, in one transition, and says whether more
 *      is left to do. No answer of any other operation changes by it, whoever writes or reads meanwhile.
 *  S29 `backlog` answers how many runs that have not ended stand in each queue that is not among those named, by the queue's name. It costs
 *      as much as it counts, whatever else the store holds: each process asks when it opens.
 * Limits (docs/decisions/0017)
 *  S30 A due run is claimed only if none of the keys of its limits is full. A concurrency key is full while `most` runs of it are running:
 *      each such run has one slot, from its claim until it waits, yields, is parked or ends, by whomever. Claiming a run whose lease
 *      expired asks for no slot: it still has its own. A rate key (with `perMs`) is full when `most` runs of it were claimed for the first
 *      time since its window began; a window begins with the first such claim after the one before has ended, and lasts `perMs`.
 *      Runs that were claimed before neither ask it nor count. A full key changes nothing of the run: status and `dueAt` stay.
 *  S31 A claim goes through the due runs in the order of S5 and takes each whose keys are not full when its turn comes. So what waits for a
 *      key goes in the order in which it fell due. Runs of one queue with the same keys are judged by the numbers of the one that was last to
 *      become due.
 *  S32 What a claim costs does not grow with the runs that are blocked behind the same keys. It may leave some for the next claim, which has to come at
 *      once: `nextDueInMs` is 0 then.
 *  S33 Starts and deliveries claim no run that has limits: only `claim` knows whose turn it is. They hint `due`, as does the release of a
 *      slot that somebody waits for.
 *  S34 `limits` answers for each key how many slots are taken, and of a rate how many began in its window and when that ends (0 and null if
 *      none is open).
 * Parts: a large value stands beside what refers to it. The runtime cuts, hashes and refers (docs/decisions/0018); to a store they are bytes.
 *  S35 `putParts` keeps parts under an id, each by its hash. One that is there stays as it is, and counts as put anew. The id is that of a
 *      run or of a message, which may be there or come later. What refers to a part is handed in after the part was acknowledged.
 *  S36 `getParts` answers the parts of an id in the order of the hashes, null for one that is not there.
 *  S37 A part stays while there is a run of its id, or a run whose inbox has a message of that id, of whatever kind. `gc` removes those of other ids an hour
 *      after the last was put there (they came before a start or a delivery that was refused, or that never came), and those of a run that
 *      it removes without delay: in this call or, as each does a bounded part of the work, in the calls after it.
 * Ledger
 *  S40 `ledgerTotals` answers, for each scope, the sums over all ledger rows of it, those of removed runs among them, as of the last commit: a
 *      row counts once, however often it was handed in (S15), and what is null counts as nothing. Threads are a tenant's, as in S11; a
 *      period is compared with the UTC date of the row's `at`. A scope without rows has zeros.
 *  S41 What `ledgerTotals` costs does not grow with the rows of a thread, a tenant or a period; that of a run may, with those of that run.
 */

import type { Payload } from './codec.ts';

export type { Payload } from './codec.ts';

/** The largest part. */
export const MAX_PART_BYTES = 262_144;
/** S37: how old parts of an id without a run have to be before they are removed. */
export const ORPHAN_MS = 3_600_000;

/**
 * From this many claims without progress on a run is suspected of taking its process along (S8), and the keys in flight are stored
 * before their bodies start. One death is no suspicion: all that ran died of it (docs/decisions/0006).
 */
export const SUSPECT_ATTEMPTS = 3;

export type RunStatus = 'queued' | 'ready' | 'running' | 'waiting' | 'parked' | 'completed' | 'failed' | 'cancelled';

export type EndStatus = 'completed' | 'failed' | 'cancelled';

export function isEnded(status: RunStatus): status is EndStatus {
  return status === 'completed' || status === 'failed' || status === 'cancelled';
}

/** False while it is queued, and for one that ended there: nothing of it reached a model, so it is no part of its thread's history. */
export function hasBegun({ status, endedAt, epoch }: Pick<Run, 'status' | 'endedAt' | 'epoch'>): boolean {
  return status !== 'queued' && (endedAt === null || epoch > 0);
}

/** The right of one worker to a run; valid while both values stand in its row. */
export interface Token {
  epoch: number;
  nonce: string;
}

/** What a run needs to be claimed: room under a key, which runs share (S30). A key is always of one kind. */
export interface Limit {
  key: string;
  /** How many may be running at once; with `perMs`, how many may be claimed for the first time in a window. */
  most: number;
  /** The length of a rate's window. */
  perMs?: number;
}

export interface LimitUse {
  key: string;
  /** Slots that are taken. */
  held: number;
  /** Of a rate: how many began in the window that is open. */
  begun: number;
  windowEnd: number | null;
}

export interface NewRun {
  id: string;
  workflow: string;
  version: string;
  /** `workflow@version`, or `workflow@*` if the run follows the newest. */
  queue: string;
  thread: string | null;
  tenant: string | null;
  input: Payload;
  /** Keyed hash of the input, made before the codec. */
  inputHash: string;
  attributes: Record<string, string>;
  parent: { run: string; key: string } | null;
  /** The run that this one replaces in its thread's history. */
  supersedes: string | null;
  /** All of them must have room. No two with one key. */
  limits: readonly Limit[];
  whenBusy?: WhenBusy;
}

export type WhenBusy = 'reject' | 'queue' | 'steer' | 'interrupt';

export interface Run extends Omit<NewRun, 'whenBusy'> {
  status: RunStatus;
  dueAt: number | null;
  epoch: number;
  nonce: string | null;
  /** Id of the commit that was applied last (S14). */
  lastCommit: string | null;
  /** Number of journal events. */
  head: number;
  /** Seq of the event where loading starts. */
  checkpoint: number;
  inboxHead: number;
  /** Number of messages that are journaled. */
  seen: number;
  cancel: boolean;
  attempts: number;
  /** Keys of the bodies in flight, written from the third attempt on. */
  suspects: string[] | null;
  result: Payload | null;
  error: Payload | null;
  errorCode: string | null;
  /** Why it is parked. */
  parked: { code: string; details: Payload } | null;
  createdAt: number;
  updatedAt: number;
  endedAt: number | null;
}

export interface ClaimOptions {
  nonce: string;
  leaseMs: number;
}

export type StartResult =
  | { kind: 'created'; run: Run; token: Token | null; now: number }
  | { kind: 'exists'; run: Run }
  | { kind: 'conflict'; run: Run }
  | { kind: 'busy'; active: Run }
  | { kind: 'steered'; active: Run };

export interface ClaimRequest extends ClaimOptions {
  queues: readonly string[];
  limit: number;
  suspects: number;
}

export interface Claim {
  run: Run;
  token: Token;
  from: 'start' | 'wait' | 'lease' | 'yield';
  /** Those from the run's `seen` on. A store may answer them, which saves the holder a `load`. */
  messages?: Message[];
}

export interface ClaimResult {
  claims: Claim[];
  nextDueInMs: number | null;
  now: number;
}

export type MessageKind = 'hook' | 'decision' | 'child' | 'user' | 'wake';

export interface Message {
  /** Position in the run's inbox, from 0, dense. */
  seq: number;
  id: string;
  kind: MessageKind;
  /** The hook's or child's key. */
  key: string | null;
  payload: Payload;
  /** Of a `child`: how it ended. */
  status: EndStatus | null;
  /** Of a `user` message. */
  inputHash: string | null;
  /** Who sent it, where that is known. */
  by: string | null;
  at: number;
}

export interface Loaded {
  run: Run;
  /** The events at former checkpoints, in order; none where the caller said from where to load. */
  checkpoints: Payload[];
  events: Payload[];
  messages: Message[];
  now: number;
}

/** What a hook takes: payloads from whoever has its token, an answer of a person, HTTP requests, decisions of persons. */
export type HookKind = 'hook' | 'question' | 'webhook' | 'approval';

export interface NewHook {
  /** Hex SHA-256 of the token. */
  tokenHash: string;
  key: string;
  kind: HookKind;
  /** Takes one payload. An approval always does. */
  once: boolean;
  /** Of an approval: how many must approve. */
  needed: number;
  /** Of an approval: the tool's name. */
  tool: string | null;
  /** Id, schema, metadata, input: whatever the runtime wants to read back. */
  details: Payload;
}

export interface Responder {
  by: string;
  approved: boolean;
  at: number;
}

export interface Hook extends NewHook {
  run: string;
  workflow: string;
  thread: string | null;
  tenant: string | null;
  status: 'open' | 'resolved' | 'closed';
  responders: Responder[];
  notes: Payload[];
  createdAt: number;
  resolvedAt: number | null;
}

export interface StreamWrite {
  stream: string;
  chunks: Payload[];
  close?: boolean;
}

export interface LedgerRow {
  id: string;
  run: string;
  thread: string | null;
  tenant: string | null;
  /** The turn's key. */
  key: string;
  attempt: number;
  provider: string;
  model: string;
  outcome: 'completed' | 'failed' | 'aborted' | 'unknown';
  /** null where the provider said nothing. */
  inputTokens: number | null;
  outputTokens: number | null;
  /** Tool calls that the turn asked for, without those that the provider executes. */
  toolCalls: number;
  /** What it costs by the prices of when it was recorded, in billionths of a dollar, an integer; null where usage or price is not known. */
  nanoUsd: number | null;
  /** The provider's whole usage record and the like. */
  details: Payload | null;
  at: number;
}

/** Sums over ledger rows; what rows do not know counts as nothing. */
export interface LedgerTotals {
  /** Rows: attempts at model turns. */
  attempts: number;
  /** Rows that completed. */
  turns: number;
  toolCalls: number;
  inputTokens: number;
  outputTokens: number;
  nanoUsd: number;
  /** Rows without `nanoUsd`. */
  unpriced: number;
}

/** Which rows to sum. `period`: a month ("2026-11") or a day ("2026-11-22"), in UTC; without it all there are. */
export type LedgerScope =
  | { run: string }
  | { thread: string; tenant: string | null }
  | { tenant: string; period?: string };

export type Then =
  | { kind: 'run'; heartbeat?: boolean }
  | { kind: 'wait'; dueAt: number | null }
  | { kind: 'yield' }
  | { kind: 'park'; code: string; details: Payload }
  | {
      kind: 'end';
      status: EndStatus;
      result: Payload | null;
      error: Payload | null;
      errorCode: string | null;
    };

export interface Commit {
  run: string;
  token: Token;
  expect: number;
  id: string;
  /**
   * 1 for the first commit under a token, one more after each that was applied. A request that comes late, after its repetition
   * was applied and the next commit too, is known by it; `expect` does not tell where there are chunks alone.
   */
  number?: number;
  leaseMs: number;
  events: Payload[];
  chunks: StreamWrite[];
  hooks: { create: NewHook[]; close: string[] };
  starts: NewRun[];
  /** Runs whose cancel flag is set, as by `control`. */
  cancels: string[];
  ledger: LedgerRow[];
  /** Messages journaled, including those of this commit. */
  seen: number;
  /** Messages that the holder has in memory; the answer brings those after. */
  received: number;
  /** The holder knows that the run is cancelled. Default false. */
  cancelSeen?: boolean;
  checkpoint?: number;
  suspects?: string[];
  then: Then;
}

export type CommitResult =
  | {
      kind: 'applied';
      /** False if a repeated commit was applied and the run has gone to another holder since. */
      holder: boolean;
      head: number;
      now: number;
      extended: boolean;
      cancel: boolean;
      messages: Message[];
      /** New tail of each stream that was written to. */
      tails: Record<string, number>;
    }
  | { kind: 'fenced' }
  | { kind: 'moved'; head: number }
  | { kind: 'pending'; messages: Message[]; cancel: boolean; now: number }
  | { kind: 'token_taken'; tokenHash: string; holder: { run: string; key: string } }
  | { kind: 'stream_closed'; stream: string };

export interface Delivery {
  to: { run: string } | { hook: string; kind?: Exclude<HookKind, 'approval'> };
  id: string;
  /** To a run: `wake` or `user`. */
  kind?: 'wake' | 'user';
  payload: Payload;
  inputHash?: string;
  by?: string;
  /** Present: this answers an approval. */
  decision?: { approved: boolean };
}

/** The worker of the process that delivers has room: it takes the run that a message wakes. */
export interface DeliverClaim extends ClaimOptions {
  queues: readonly string[];
}

export type DeliverResult =
  /** `claimed`: only if the claim was asked for and made. */
  | { kind: 'ok'; run: string; hook: Hook | null; claimed?: { claim: Claim; now: number } }
  | { kind: 'duplicate'; run: string; hook: Hook | null }
  | { kind: 'gone'; run: string; hook: Hook | null }
  | { kind: 'not_found' };

export interface StreamPage {
  chunks: Payload[];
  /** Offset of the first chunk of this page. */
  from: number;
  tail: number;
  /** Nothing comes after this page, ever. */
  closed: boolean;
  /** There only if `from` is below what is kept: the page has no chunk then. */
  expired?: StreamExpiry;
}

/** What retention has removed of a stream. */
export interface StreamExpiry {
  /** The first offset that is kept. */
  before: number;
  reason: 'age' | 'count';
}

export interface TrimRequest {
  /** How many chunks of a stream to keep, the newest. Default all. */
  keep?: number;
  /** How long to keep a chunk. Default for ever. */
  olderThanMs?: number;
  /** Streams of runs that have not ended to leave alone; `a:` stands for all that begin so. */
  spare: string[];
  /** How many streams to look at. */
  limit: number;
  /** Of the answer before; without it at the first stream. */
  cursor?: string;
}

export interface TrimResult {
  /** How many chunks are no longer there. */
  removed: number;
  /** Where to go on; null when all streams have been looked at. */
  cursor: string | null;
}

export interface Page<T> {
  items: T[];
  /** Pass it as `cursor` for the next page; null at the end. */
  cursor: string | null;
}

export interface RunQuery {
  status?: RunStatus[];
  workflow?: string;
  thread?: string;
  /** null: rows without a tenant. */
  tenant?: string | null;
  attributes?: Record<string, string>;
  errorCode?: string;
  parent?: string;
  createdAfter?: number;
  createdBefore?: number;
  /** Default 50, at most 500. Newest first. */
  limit?: number;
  cursor?: string;
}

export interface HookQuery {
  kind?: HookKind;
  status?: Array<Hook['status']>;
  run?: string;
  thread?: string;
  /** null: rows without a tenant. */
  tenant?: string | null;
  tool?: string;
  /** Default 50, at most 500. Newest first. */
  limit?: number;
  cursor?: string;
}

export interface LedgerQuery {
  run?: string;
  thread?: string;
  /** null: rows without a tenant. */
  tenant?: string | null;
  /** Default 500, at most 5000. Oldest first. */
  limit?: number;
  cursor?: string;
}

export interface Backlog {
  queue: string;
  runs: number;
}

/** A piece of a large value. */
export interface Part {
  /** Hex SHA-256 of the bytes. */
  hash: string;
  bytes: Uint8Array;
}

export type Control = 'cancel' | 'resume' | 'terminate';

export type ControlResult = { kind: 'ok'; run: Run } | { kind: 'refused'; run: Run } | { kind: 'not_found' };

/**
 * A doorbell: something may have changed. `due`: work can be claimed, or a due time was set; `run`: messages, cancel or end; `stream`: new chunks;
 * `thread`: this run of it was created, became ready, waits, was parked or ended; `any`: not known what.
 */
export type Hint =
  | { kind: 'any' }
  | { kind: 'due' }
  | { kind: 'run'; run: string }
  | { kind: 'thread'; thread: string; tenant: string | null; run: string }
  | { kind: 'stream'; run: string; stream: string };

export interface Capabilities {
  durability: 'fsync' | 'async' | 'none';
  /** Hints reach other processes within milliseconds. */
  push: boolean;
  /** Least time between two stream flushes of a run that the store asks for. */
  flushMs: number;
  /**
   * So long a worker may let pass between two claims, and a reader between two looks at a stream, where none finds anything and hints tell
   * of what comes. It may change: 0 while hints do not arrive. Default: as each is set.
   */
  idlePollMs?: number;
  /** How many bytes of parts one call may bring or ask for; at least `MAX_PART_BYTES`. */
  maxRequestBytes: number;
}

export interface Store {
  readonly name: string;
  readonly capabilities: Capabilities;
  start(runs: NewRun[], claim?: ClaimOptions): Promise<StartResult[]>;
  claim(request: ClaimRequest): Promise<ClaimResult>;
  /** Null if there is no such run. `from` defaults to the run's checkpoint; only then there are `checkpoints`. */
  load(run: string, from?: number): Promise<Loaded | null>;
  /** At most one commit per run in a batch. They are applied in any order; the answers are in that of the batch. */
  commit(batch: Commit[]): Promise<CommitResult[]>;
  deliver(messages: Delivery[], claim?: DeliverClaim): Promise<DeliverResult[]>;
  control(run: string, control: Control): Promise<ControlResult>;
  /** Null if there is no such run; an empty page if the stream was never written to. */
  read(run: string, stream: string, options: { from: number; maxBytes: number }): Promise<StreamPage | null>;
  get(run: string): Promise<Run | null>;
  list(query: RunQuery): Promise<Page<Run>>;
  backlog(without: readonly string[]): Promise<Backlog[]>;
  /** In the order of the keys. */
  limits(keys: readonly string[]): Promise<LimitUse[]>;
  hook(tokenHash: string): Promise<Hook | null>;
  listHooks(query: HookQuery): Promise<Page<Hook>>;
  /** The runs of a thread, in order of creation, without those that one that has begun supersedes. The tenant defaults to none. */
  thread(id: string, tenant?: string | null): Promise<Run[]>;
  /** Appends to a hook's notes, whatever its status. False if there is no such hook. */
  note(tokenHash: string, note: Payload): Promise<boolean>;
  ledger(query: LedgerQuery): Promise<Page<LedgerRow>>;
  /** In the order of the scopes. */
  ledgerTotals(scopes: readonly LedgerScope[]): Promise<LedgerTotals[]>;
  /** Keeps the proposal if the store has none; answers the one that it keeps. */
  secret(proposed: Uint8Array): Promise<Uint8Array>;
  /** Removes up to `limit` runs that ended longer than `olderThanMs` ago; answers how many. */
  gc(options: { olderThanMs: number; limit: number }): Promise<number>;
  /** Removes old chunks of streams. */
  trim(request: TrimRequest): Promise<TrimResult>;
  /** At most `capabilities.maxRequestBytes` in a call. */
  putParts(id: string, parts: readonly Part[]): Promise<void>;
  getParts(id: string, hashes: readonly string[]): Promise<Array<Uint8Array | null>>;
  /** Packs what a stream holds; true if there is more to do. Nothing to do for a run that is not there. */
  compact(run: string, stream: string): Promise<boolean>;
  watch?(listener: (hint: Hint) => void): () => void;
  close(): Promise<void>;
}
