/**
 * Stands at the store's door and keeps its own account of who holds a run and what was accepted. Compare-and-swap on the head
 * hides faults of the token, so this looks at tokens themselves.
 */

import { decodeText } from '../../src/runtime/codec.ts';
import type {
  Claim,
  Commit,
  CommitResult,
  Delivery,
  DeliverResult,
  Payload,
  Run,
  Store,
  Token,
} from '../../src/runtime/store.ts';
import type { World } from './world.ts';

interface Shadow {
  id: string;
  thread: string | null;
  limits: Run['limits'];
  epoch: number;
  nonces: Set<string>;
  /** Null while nobody holds the run. */
  token: Token | null;
  /** The token under which the run was let go; null while somebody holds it. */
  left: Token | null;
  leaseUntil: number;
  lastCommit: string | null;
  commitIds: Set<string>;
  events: Payload[];
  completed: Map<string, number>;
  messages: string[];
  /** When timers are due, by key. */
  timers: Map<string, number>;
  streams: Map<string, Payload[]>;
  /** Ids of messages that were acknowledged. */
  acknowledged: Set<string>;
  ended: Run | null;
  /** How often the present claim was answered: its holder knows of it from one of the answers on. */
  claims: number;
  /** Claims that took the run from a holder that had not let it go. */
  takeovers: number;
  yields: number;
  claimsSinceProgress: number;
  claimsBeforePark: number;
  commits: number;
}

export interface Header {
  type: string;
  key: string;
  attempt?: number;
  dueAt?: number;
  meta?: Record<string, unknown>;
}

const ONCE: ReadonlySet<string> = new Set([
  'step_completed',
  'step_failed',
  'timer_fired',
  'timer_started',
  'child_started',
]);
const ENDS: ReadonlySet<string> = new Set(['run_completed', 'run_failed', 'run_cancelled']);

export class Oracle {
  readonly #world: World;
  readonly #store: Store;
  readonly #isAtOnce: boolean;
  readonly #shadows = new Map<string, Shadow>();
  readonly #resolved = new Set<string>();
  /** Ids of the messages that hooks took, by token hash. */
  /** A holder has let a run go to wait. */
  onWait: ((id: string, token: Token) => void) | undefined;
  readonly #taken = new Map<string, string[]>();

  /** `isAtOnce`: the store answers in the same event, so that what is read next is what the call has left. */
  constructor(world: World, store: Store, { isAtOnce = true }: { isAtOnce?: boolean } = {}) {
    this.#world = world;
    this.#store = store;
    this.#isAtOnce = isAtOnce;
  }

  /** The store, watched. */
  get store(): Store {
    const store = this.#store;
    return {
      ...store,
      start: async (runs, claim) => {
        const answers = await store.start(runs, claim);
        for (const answer of answers) {
          if (answer.kind === 'created' && answer.token !== null && claim !== undefined) {
            this.#claimed({ run: answer.run, token: answer.token, from: 'start' }, claim);
          }
        }
        return answers;
      },
      claim: async (request) => {
        const answer = await store.claim(request);
        for (const claim of answer.claims) this.#claimed(claim, request);
        return answer;
      },
      commit: async (batch) => {
        const answers = await store.commit(batch);
        for (const [index, commit] of batch.entries()) {
          const answer = answers[index];
          if (answer !== undefined) await this.#committed(commit, answer);
        }
        return answers;
      },
      deliver: async (messages, claim) => {
        const answers = await store.deliver(messages, claim);
        for (const [index, message] of messages.entries()) {
          const answer = answers[index];
          if (answer === undefined) continue;
          if (answer.kind === 'ok' && answer.claimed !== undefined && claim !== undefined)
            this.#claimed(answer.claimed.claim, claim);
          await this.#delivered(message, answer);
        }
        return answers;
      },
      control: async (id, control) => {
        const answer = await store.control(id, control);
        this.#world.note(() => `store: ${control} ${id} ${answer.kind}`);
        if (answer.kind === 'ok' && this.#isAtOnce && (await store.get(id))?.status === 'waiting')
          this.#world.fail(`${id} waits on after a ${control}`);
        return answer;
      },
    };
  }

  shadow(id: string): Shadow {
    let shadow = this.#shadows.get(id);
    if (shadow === undefined) {
      shadow = {
        id,
        thread: null,
        limits: [],
        epoch: 0,
        nonces: new Set(),
        token: null,
        left: null,
        leaseUntil: 0,
        lastCommit: null,
        commitIds: new Set(),
        events: [],
        completed: new Map(),
        messages: [],
        timers: new Map(),
        streams: new Map(),
        acknowledged: new Set(),
        ended: null,
        claims: 0,
        takeovers: 0,
        yields: 0,
        claimsSinceProgress: 0,
        claimsBeforePark: 0,
        commits: 0,
      };
      this.#shadows.set(id, shadow);
    }
    return shadow;
  }

  get ids(): string[] {
    return [...this.#shadows.keys()];
  }

  /** Whether the process, by the prefix of its nonces, holds the run now. */
  holds(process: string, id: string): boolean {
    return this.shadow(id).token?.nonce.startsWith(`${process}-`) === true;
  }

  isRecorded(id: string, key: string): boolean {
    return this.shadow(id).completed.has(key);
  }

  taken(tokenHash: string): string[] {
    return this.#taken.get(tokenHash) ?? [];
  }

  headers(id: string): Header[] {
    return this.shadow(id).events.map(headerOf);
  }

  #claimed(claim: Claim, { nonce, leaseMs }: { nonce: string; leaseMs: number }): void {
    const { run, token, from } = claim;
    const shadow = this.shadow(run.id);
    const now = this.#world.storeClock.now();
    this.#world.note(
      () => `store: claim ${run.id} ${token.nonce} epoch ${token.epoch} from ${from}, attempts ${run.attempts}`,
    );
    if (shadow.token?.nonce === nonce && shadow.token.epoch === token.epoch) {
      shadow.claims += 1;
      return;
    }
    shadow.claims = 1;
    if (shadow.ended !== null) this.#world.fail(`${run.id} was claimed after its end`);
    if (token.epoch <= shadow.epoch) this.#world.fail(`the epoch of ${run.id} did not grow with a claim`);
    if (shadow.nonces.has(`${token.epoch}:${token.nonce}`)) this.#world.fail(`a token of ${run.id} was used twice`);
    if (shadow.token !== null && now < shadow.leaseUntil)
      this.#world.fail(`${run.id} was claimed while its lease was live`);
    const other = [...this.#shadows.values()].find(
      (each) => each !== shadow && run.thread !== null && each.thread === run.thread && each.token !== null,
    );
    if (other !== undefined) this.#world.fail(`${run.id} and ${other.id} of one thread run at once`);
    shadow.thread = run.thread;
    shadow.limits = run.limits;
    shadow.epoch = token.epoch;
    shadow.nonces.add(`${token.epoch}:${token.nonce}`);
    if (from === 'lease') shadow.takeovers += 1;
    shadow.claimsSinceProgress += 1;
    shadow.token = token;
    shadow.left = null;
    shadow.leaseUntil = now + leaseMs;
    this.#checkSlots(run.limits);
  }

  /** S30: a run has its slot from its claim until it is let go, also while its holder is gone. */
  #checkSlots(limits: Run['limits']): void {
    for (const { key, most } of limits) {
      const holders = [...this.#shadows.values()].filter(
        (each) => each.token !== null && each.limits.some((limit) => limit.key === key),
      );
      if (holders.length > most)
        this.#world.fail(`${holders.map(({ id }) => id).join(', ')} execute at once: ${key} has ${most} slots`);
    }
  }

  async #committed(commit: Commit, answer: CommitResult): Promise<void> {
    const shadow = this.shadow(commit.run);
    this.#world.note(
      () =>
        `store: commit ${commit.run} ${commit.id} ${commit.then.kind} ${commit.events.map((event) => `${headerOf(event).type}:${headerOf(event).key}`).join(' ')} chunks ${commit.chunks.length} -> ${answer.kind}`,
    );
    shadow.commits += 1;
    if (commit.id === shadow.lastCommit) this.#repeated(shadow, answer);
    else if (answer.kind === 'applied') await this.#accepted(shadow, { commit, answer });
  }

  /** S14 (a) */
  #repeated(shadow: Shadow, answer: CommitResult): void {
    if (answer.kind !== 'applied') this.#world.fail(`a repeated commit of ${shadow.id} was answered ${answer.kind}`);
    else if (answer.head !== shadow.events.length)
      this.#world.fail(`a repeated commit of ${shadow.id} was applied again`);
  }

  async #accepted(
    shadow: Shadow,
    { commit, answer }: { commit: Commit; answer: Extract<CommitResult, { kind: 'applied' }> },
  ): Promise<void> {
    const { id } = shadow;
    const { token } = commit;
    this.#checkHolder(shadow, token);
    if (commit.expect !== shadow.events.length)
      this.#world.fail(`a commit of ${id} was accepted at a head that had moved`);
    if (shadow.commitIds.has(commit.id)) this.#world.fail(`a commit of ${id} was applied twice`);
    shadow.commitIds.add(commit.id);
    shadow.lastCommit = commit.id;
    for (const event of commit.events) this.#recorded(shadow, event);
    for (const { key } of commit.hooks.create) this.#resolved.delete(`${id} ${key}`);
    if (commit.then.kind === 'park') shadow.claimsBeforePark = shadow.claimsSinceProgress;
    if (commit.events.length > 0) shadow.claimsSinceProgress = 0;
    if (answer.head !== shadow.events.length)
      this.#world.fail(`the head of ${id} is ${answer.head}, not ${shadow.events.length}`);
    this.#wrote(shadow, { commit, answer });
    if (answer.extended) shadow.leaseUntil = this.#world.storeClock.now() + commit.leaseMs;
    if (commit.then.kind === 'run') return;
    shadow.token = null;
    shadow.left = token;
    if (commit.then.kind === 'wait') this.onWait?.(id, token);
    if (commit.then.kind === 'yield') shadow.yields += 1;
    const row = await this.#store.get(id);
    if (row === null) return;
    if (this.#isAtOnce && (commit.then.kind === 'wait' || commit.then.kind === 'end'))
      this.#checkInbox(row, commit.then.kind);
    if (commit.then.kind === 'end') shadow.ended = row;
  }

  /** I2 */
  #checkHolder(shadow: Shadow, token: Token): void {
    const { id } = shadow;
    if (shadow.ended !== null) this.#world.fail(`a commit of ${id} was accepted after its end`);
    if (shadow.token === null) this.#world.fail(`a commit of ${id} was accepted though nobody holds it`);
    else if (shadow.token.epoch !== token.epoch || shadow.token.nonce !== token.nonce) {
      this.#world.fail(`a commit of ${id} was accepted under an old token`);
    }
  }

  #checkInbox(row: Run, kind: string): void {
    // In a batch, commits of other runs may have woken it since.
    if (row.inboxHead > row.seen && row.status !== 'ready')
      this.#world.fail(`${row.id} went to ${kind} with messages that it has not seen`);
    if (
      row.cancel &&
      row.status === 'waiting' &&
      !this.headers(row.id).some(({ type }) => type === 'cancel_requested')
    ) {
      this.#world.fail(`${row.id} waits though it was cancelled`);
    }
  }

  #recorded(shadow: Shadow, event: Payload): void {
    const seq = shadow.events.length;
    shadow.events.push(event);
    const { type, key, meta, dueAt = 0 } = headerOf(event);
    if (type === 'timer_started') shadow.timers.set(key, dueAt);
    if (type === 'timer_fired' && this.#world.storeClock.now() < (shadow.timers.get(key) ?? 0))
      this.#world.fail(`the timer "${key}" of ${shadow.id} fired early`);
    if (ONCE.has(type)) {
      const name = type.startsWith('step_') || type === 'timer_fired' ? key : `${type} ${key}`;
      if (shadow.completed.has(name)) this.#world.fail(`"${name}" of ${shadow.id} was recorded twice`);
      shadow.completed.set(name, seq);
    }
    if (type === 'message_received') {
      if (meta?.['seq'] !== shadow.messages.length)
        this.#world.fail(`messages of ${shadow.id} were journaled out of order`);
      shadow.messages.push(String(meta?.['id']));
    }
  }

  #wrote(
    shadow: Shadow,
    { commit, answer }: { commit: Commit; answer: Extract<CommitResult, { kind: 'applied' }> },
  ): void {
    for (const { stream, chunks } of commit.chunks) {
      const stored = shadow.streams.get(stream) ?? [];
      stored.push(...chunks);
      shadow.streams.set(stream, stored);
    }
    for (const [stream, tail] of Object.entries(answer.tails)) {
      if (tail !== shadow.streams.get(stream)?.length)
        this.#world.fail(`the stream "${stream}" of ${shadow.id} has a wrong tail`);
    }
  }

  async #delivered(delivery: Delivery, answer: DeliverResult): Promise<void> {
    const what = 'run' in delivery.to ? delivery.to.run : delivery.to.hook.slice(0, 8);
    this.#world.note(() => `store: deliver ${delivery.id} to ${what} -> ${answer.kind}`);
    if (answer.kind !== 'ok') return;
    const shadow = this.shadow(answer.run);
    if (shadow.acknowledged.has(delivery.id)) this.#world.fail(`the message ${delivery.id} was taken twice`);
    shadow.acknowledged.add(delivery.id);
    if (shadow.ended !== null) this.#world.fail(`${answer.run} took a message after its end`);
    if ('hook' in delivery.to) this.#taken.set(delivery.to.hook, [...this.taken(delivery.to.hook), delivery.id]);
    if ('hook' in delivery.to && answer.hook?.once === true) {
      const hook = `${answer.run} ${answer.hook.key}`;
      if (this.#resolved.has(hook)) this.#world.fail(`a hook of ${answer.run} took two payloads`);
      this.#resolved.add(hook);
    }
    if (!this.#isAtOnce) return;
    const row = await this.#store.get(answer.run);
    if (row?.status === 'waiting') this.#world.fail(`${answer.run} waits on after a message`);
  }

  /** At the end: what the store has is what was accepted. `isCalm`: nothing had failed, so nobody was silent for a lease. */
  async verify({ isCalm = false }: { isCalm?: boolean } = {}): Promise<void> {
    for (const shadow of this.#shadows.values()) {
      if (isCalm && shadow.takeovers > 0) this.#world.fail(`the holder of ${shadow.id} was silent for a lease`);
      const loaded = await this.#store.load(shadow.id, 0);
      if (loaded === null) continue;
      if (!isSame(loaded.events, shadow.events))
        this.#world.fail(`the journal of ${shadow.id} is not what was accepted`);
      for (const [stream, chunks] of shadow.streams) {
        const page = await this.#store.read(shadow.id, stream, { from: 0, maxBytes: Number.MAX_SAFE_INTEGER });
        if (page === null || !isSame(page.chunks, chunks))
          this.#world.fail(`the stream "${stream}" of ${shadow.id} is not what was accepted`);
      }
      this.#verifyEnd(shadow, loaded.run);
    }
  }

  #verifyEnd(shadow: Shadow, row: Run): void {
    const { ended, id } = shadow;
    if (ended === null) return;
    const facts = ['status', 'result', 'error', 'errorCode', 'head', 'inboxHead', 'endedAt', 'epoch'] as const;
    for (const fact of facts)
      if (!isEqual(ended[fact], row[fact])) this.#world.fail(`${fact} of ${id} changed after its end`);
    for (const message of shadow.acknowledged) {
      const count = shadow.messages.filter((other) => other === message).length;
      if (count !== 1) this.#world.fail(`the message ${message} to ${id} was journaled ${count} times`);
    }
    const ends = this.headers(id).filter(({ type }) => ENDS.has(type));
    if (ends.length !== 1 || ends[0]?.type !== `run_${row.status}`) {
      this.#world.fail(`${id} is ${row.status} and its journal says ${ends.map(({ type }) => type).join(', ')}`);
    }
  }
}

function headerOf(event: Payload): Header {
  const text = decodeText(event);
  const cut = text.indexOf('\n');
  return JSON.parse(cut < 0 ? text : text.slice(0, cut)) as Header;
}

function isSame(left: Payload[], right: Payload[]): boolean {
  return left.length === right.length && left.every((payload, index) => isEqual(payload, right[index] ?? null));
}

function isEqual(left: unknown, right: unknown): boolean {
  if (left instanceof Uint8Array && right instanceof Uint8Array)
    return left === right || Buffer.compare(left, right) === 0;
  return left === right;
}
