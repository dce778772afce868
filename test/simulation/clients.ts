/** Those outside: they start runs, answer hooks, cancel, read streams, and repeat what got no answer. */

import { DurableError } from 'everturn';
import type { RunHandle, Runtime } from 'everturn';
import { decodeValue, encodeValue } from '../../src/runtime/codec.ts';
import { sha256Hex } from '../../src/runtime/signature.ts';
import type { Store } from '../../src/runtime/store.ts';
import { decodeChunk } from '../../src/runtime/chunk.ts';
import type { Effects } from './effects.ts';
import type { Oracle } from './oracle.ts';
import type { SimProcess } from './process.ts';
import { BAD, LOG, nodesOf, programsOf } from './program.ts';
import { SHARED_TOKEN } from './program-maker.ts';
import type { Program } from './program.ts';
import type { Random } from './random.ts';
import type { Scenario, Sender } from './scenario.ts';
import type { World } from './world.ts';

export interface ClientParts {
  world: World;
  process: SimProcess;
  runtime: Runtime;
  /** A runtime that executes, if one is up. */
  site: () => Runtime | undefined;
  scenario: Scenario;
  oracle: Oracle;
  effects: Effects;
  /** Without faults, for looking. */
  store: Store;
}

export interface Ended {
  status: 'completed' | 'cancelled' | 'failed';
}

const CALL_MS = 1_000;

export class Clients {
  readonly ended = new Map<string, Ended>();
  /** Acknowledged payloads by hook token, in the order of the acknowledgements. */
  readonly acknowledged = new Map<string, string[]>();
  isOver = false;
  readonly chunks = new Map<string, unknown[]>();
  readonly #parts: ClientParts;
  readonly #random: Random;
  #readers = 0;

  constructor(parts: ClientParts) {
    this.#parts = parts;
    this.#random = parts.world.random.fork();
  }

  get isDone(): boolean {
    return this.ended.size === this.#parts.scenario.programs.length && this.#readers === 0;
  }

  begin(): void {
    const { scenario, process } = this.#parts;
    scenario.programs.forEach((program, index) => {
      this.#readers += 1;
      process.after(scenario.startAt[index] ?? 0, () => this.#run(`start ${program.id}`, () => this.#start(program)));
    });
    for (const sender of scenario.senders) {
      process.after(sender.at, () => this.#run(`send ${sender.id}`, () => this.#send(sender)));
    }
    for (const { run, at } of scenario.cancels)
      process.after(at, () => this.#run(`cancel ${run}`, () => this.#cancel(run)));
    process.after(100, () => this.#run('send to the shared hook', () => this.#sendShared()));
    process.after(1_000, () => this.#run('look for parked runs', () => this.#unpark()));
  }

  /** Something for a run right now: a payload that is due later, or a message for nobody. */
  nudge(run: string): void {
    const { scenario, world, store, process } = this.#parts;
    const sender = scenario.senders.find((each) => each.run === run && !this.#isAcknowledged(each));
    if (sender !== undefined && this.#random.chance(0.7)) this.#run(`nudge ${sender.id}`, () => this.#send(sender));
    else if (this.#random.chance(0.2) && !scenario.isPlain) this.#run(`nudge cancel ${run}`, () => this.#cancel(run));
    else {
      const message = { to: { run }, id: process.ids.nonce(), kind: 'wake' as const, payload: NOTHING };
      world.after(this.#random.between(0, 5), () => void store.deliver([message]).catch(() => undefined));
    }
  }

  /** A hook is about to be closed: what comes now may be too late, and must be no answer then. */
  answerLate(tokenHash: string): void {
    const { scenario, store, world } = this.#parts;
    const sender = scenario.senders.find((each) => sha256Hex(each.token) === tokenHash && !this.#isAcknowledged(each));
    if (sender === undefined) return;
    if (this.#random.chance(0.3)) this.#run(`answer ${sender.id}`, () => this.#send(sender));
    // A whole call often takes longer than the commit: this one stands where the commit is bound to.
    const { id, by, isApproval } = sender;
    const said = isApproval ? { approved: true, reason: sender.payload, by } : sender.payload;
    const payload = encodeValue(said, 'a payload');
    const decision = isApproval ? { decision: { approved: true } } : {};
    const delivery = { to: { hook: tokenHash }, id, by, payload, ...decision };
    world.after(this.#random.between(0, 5), () => void store.deliver([delivery]).catch(() => undefined));
  }

  /** That of a process which executes runs, or one without a worker. */
  #anyRuntime(): Runtime {
    return (this.#random.chance(0.7) ? this.#parts.site() : undefined) ?? this.#parts.runtime;
  }

  #isAcknowledged({ token, payload }: Sender): boolean {
    return this.acknowledged.get(token)?.includes(payload) === true;
  }

  #run(what: string, task: () => Promise<void>): void {
    task().catch((error: unknown) => {
      this.#parts.world.fail(
        `the client could not ${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      );
    });
  }

  async #start(program: Program): Promise<void> {
    const { thread } = this.#parts.scenario;
    const busy = thread.runs.includes(program.id) ? { thread: 'thread', whenBusy: thread.whenBusy } : {};
    for (;;) {
      const runtime = this.#anyRuntime();
      if (await this.#tried(() => runtime.start('program', { id: program.id, input: program, ...busy }))) break;
      await this.#pause(50);
    }
    const handle = this.#parts.runtime.getRun(program.id);
    this.#run(`read the stream of ${program.id}`, () => this.#read(handle));
    await this.#result(handle);
  }

  async #result(handle: RunHandle): Promise<void> {
    for (;;) {
      try {
        await handle.result();
        this.ended.set(handle.id, { status: 'completed' });
        return;
      } catch (error) {
        if (DurableError.is(error, 'cancelled') || DurableError.is(error, 'run_failed')) {
          this.ended.set(handle.id, { status: error.code === 'cancelled' ? 'cancelled' : 'failed' });
          return;
        }
        if (!DurableError.is(error, 'store_unavailable') && !DurableError.is(error, 'run_parked')) throw error;
        await this.#pause(200);
      }
    }
  }

  async #send(sender: Sender): Promise<void> {
    const { token, id, by, payload, isApproval } = sender;
    const final = new Set(['hook_already_resumed', 'hook_closed', 'approval_decided']);
    while (!this.isDone) {
      const runtime = this.#anyRuntime();
      const outcome = await this.#outcome(() =>
        isApproval
          ? runtime.approvals.approve(token, { by, reason: payload })
          : runtime.resumeHook(token, payload, { id, by }),
      );
      if (outcome === 'ok') {
        const known = this.acknowledged.get(sender.token) ?? [];
        if (!known.includes(sender.payload)) this.acknowledged.set(sender.token, [...known, sender.payload]);
        return;
      }
      // The process has the run in its memory, and its schema: a bad payload does not get as far as the store.
      if (outcome === 'payload_invalid' && sender.payload.startsWith(BAD)) return;
      const comesAgain = sender.isPatient && outcome === 'hook_already_resumed';
      if (final.has(outcome) && !comesAgain) return;
      if (!comesAgain && !PASSING.has(outcome)) throw new Error(outcome);
      await this.#pause(this.#random.between(20, 150));
    }
  }

  /** Whoever has the shared hook now gets something, again and again. */
  async #sendShared(): Promise<void> {
    const { runtime, process, scenario } = this.#parts;
    const clashes = scenario.programs.some((root) =>
      [...programsOf(root)].some(({ root: tree }) => [...nodesOf(tree)].some(({ kind }) => kind === 'clash')),
    );
    if (!clashes) return;
    while (!this.isOver) {
      const id = process.ids.next();
      await this.#outcome(() => runtime.resumeHook(SHARED_TOKEN, `shared ${id}`, { id }));
      await this.#pause(this.#random.between(50, 300));
    }
  }

  async #cancel(run: string): Promise<void> {
    while (!this.isDone) {
      const outcome = await this.#outcome(() => this.#parts.runtime.getRun(run).cancel());
      if (outcome === 'ok' || outcome === 'run_not_found') return;
      await this.#pause(50);
    }
  }

  /** Reads a run's log to its end, dropping the connection now and then. */
  async #read(handle: RunHandle): Promise<void> {
    const chunks: unknown[] = [];
    this.chunks.set(handle.id, chunks);
    for (;;) {
      const isBroken = this.#random.chance(0.5);
      let left = isBroken ? this.#random.int(1, 4) : Number.MAX_SAFE_INTEGER;
      try {
        for await (const chunk of handle.stream({ namespace: LOG, from: chunks.length })) {
          chunks.push(chunk);
          this.#compare(handle.id, chunks);
          left -= 1;
          if (left === 0) break;
        }
        if (left > 0) break;
      } catch (error) {
        if (!DurableError.is(error, 'store_unavailable')) throw error;
        await this.#pause(20);
      }
    }
    if (chunks.length !== this.#stored(handle.id).length)
      this.#parts.world.fail(`a reader of ${handle.id} missed the end of its stream`);
    this.#readers -= 1;
  }

  #stored(run: string): unknown[] {
    return (this.#parts.oracle.shadow(run).streams.get(LOG) ?? []).map(decodeChunk);
  }

  /** D1: what a reader has is a prefix of what is stored. */
  #compare(run: string, chunks: unknown[]): void {
    const index = chunks.length - 1;
    const payload = this.#parts.oracle.shadow(run).streams.get(LOG)?.[index];
    const stored = payload === undefined ? undefined : decodeChunk(payload);
    if (JSON.stringify(stored) !== JSON.stringify(chunks[index]))
      this.#parts.world.fail(`chunk ${index} of ${run} is not what is stored`);
  }

  /** A crash loop is no fault of a run here: it goes on when somebody says so. Divergence is a fault. */
  async #unpark(): Promise<void> {
    const { store, world, runtime, scenario, oracle } = this.#parts;
    while (!this.isDone) {
      const { items } = await store.list({ status: ['parked'] });
      for (const run of items) {
        if (run.parked === null) continue;
        const { code, details } = run.parked;
        this.#checkSuspects(run.id, decodeValue(details));
        if (code === 'crash_loop' && oracle.shadow(run.id).claimsBeforePark < 5)
          world.fail(`${run.id} is parked though it made progress`);
        if (code !== 'crash_loop') world.fail(`${run.id} is parked: ${code} ${JSON.stringify(decodeValue(details))}`);
        if (world.time >= scenario.calmAt) await this.#outcome(() => runtime.resume(run.id));
      }
      await this.#pause(1_000);
    }
  }

  /** A step that took four processes in a row along is named. */
  #checkSuspects(run: string, details: unknown): void {
    const { suspects = [] } = details as { suspects?: string[] };
    const killer = this.#parts.effects.killed.get(run);
    if (killer !== undefined && killer.times === 4 && !suspects.includes(killer.key)) {
      this.#parts.world.fail(`${run} is parked and names ${JSON.stringify(suspects)}, not "${killer.key}"`);
    }
  }

  async #tried(call: () => Promise<unknown>): Promise<boolean> {
    const outcome = await this.#outcome(call);
    if (outcome === 'ok') return true;
    if (outcome === 'store_unavailable' || outcome === 'runtime_closed') return false;
    throw new Error(outcome);
  }

  /** `ok`, or the code of the error. No answer in time counts as `store_unavailable`. */
  #outcome(call: () => Promise<unknown>): Promise<string> {
    return new Promise((resolve) => {
      const cancel = this.#parts.process.clock.schedule(() => resolve('store_unavailable'), CALL_MS);
      call()
        .then(
          () => resolve('ok'),
          (error: unknown) => resolve(DurableError.is(error) ? error.code : String(error)),
        )
        .finally(cancel);
    });
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#parts.process.clock.schedule(resolve, ms));
  }
}

/** Of a delivery: it may be taken later, or elsewhere. */
const PASSING = new Set(['hook_not_found', 'approval_not_found', 'store_unavailable', 'runtime_closed']);
const NOTHING = encodeValue(null, 'a message');
