/** The outside world of the steps: counts what bodies do, and knows what may not happen. */

import { FatalError, getStepMetadata, RetryableError } from 'everturn';
import type { Oracle } from './oracle.ts';
import type { SimProcess } from './process.ts';
import type { World } from './world.ts';

export interface StepPlan {
  id: number;
  ms: number;
  /** How many executions fail before one succeeds. */
  failures: number;
  /** Milliseconds that the failure asks to wait for; null: the step's own backoff. */
  retryAfter: number | null;
  /** Chunks that it writes. */
  chunks: number;
  /** So many executions take their process along. */
  kills: number;
  isFatal: boolean;
  /** Per attempt. */
  timeoutMs: number | null;
}

interface Execution {
  process: string;
  attempt: number;
  epoch: number;
  /** Of the epoch's claim, how often it had been answered: what began before the last answer is of a continuation before it. */
  claims: number;
  /** Its attempt may end before it does. */
  isTimed: boolean;
  outcome: 'open' | 'done' | 'failed';
}

export class Effects {
  readonly #world: World;
  readonly #oracle: Oracle;
  readonly #isPlain: boolean;
  readonly #executions = new Map<string, Execution[]>();
  /** Keys by run and step. */
  readonly #keys = new Map<string, string>();
  /** Runs that took processes along: the last step that did, and how many times there were. */
  readonly killed = new Map<string, { key: string; times: number }>();
  readonly #observed = new Map<string, string>();

  constructor(world: World, oracle: Oracle, options: { isPlain: boolean }) {
    this.#world = world;
    this.#oracle = oracle;
    this.#isPlain = options.isPlain;
    oracle.onWait = (run, { nonce }) => this.#waits(run, nonce);
  }

  /** The body of a planned step. Answers its label. */
  async execute(process: SimProcess, plan: StepPlan, write: (chunk: unknown) => Promise<void>): Promise<string> {
    const { key, attempt, idempotencyKey } = getStepMetadata();
    const run = idempotencyKey.slice(0, idempotencyKey.length - key.length - 1);
    const executions = this.#of(run, key);
    const number = executions.length;
    this.#keyed(`${run} ${plan.id}`, key);
    const execution = this.#begin({ process, run, key, attempt, isTimed: plan.timeoutMs !== null });
    if (number < plan.kills) this.#kill(process, { run, key });
    const parts = Math.max(1, plan.chunks);
    for (let index = 0; index < parts; index += 1) {
      if (plan.chunks > 0) await write({ step: plan.id, execution: number, index });
      if (plan.ms > 0) await new Promise<void>((resolve) => process.clock.schedule(resolve, plan.ms / parts));
    }
    const failed = executions.filter(({ outcome }) => outcome === 'failed').length;
    execution.outcome = failed < plan.failures ? 'failed' : 'done';
    if (execution.outcome === 'done') return `s${plan.id}`;
    if (plan.isFatal) throw new FatalError(`step ${plan.id} fails for good`);
    if (plan.retryAfter === null) throw new Error(`step ${plan.id} fails`);
    throw new RetryableError(`step ${plan.id} fails`, { retryAfter: plan.retryAfter });
  }

  #begin(begun: { process: SimProcess; run: string; key: string; attempt: number; isTimed: boolean }): Execution {
    const { process, run, key, attempt, isTimed } = begun;
    const executions = this.#of(run, key);
    const { epoch, left, claims } = this.#oracle.shadow(run);
    const holds = this.#oracle.holds(process.name, run);
    this.#world.note(() => `${process.name} executes ${run}/${key} attempt ${attempt}${holds ? '' : ' (as a zombie)'}`);
    if (left?.nonce.startsWith(`${process.name}-`) === true)
      this.#world.fail(`the body of "${key}" of ${run} starts after its holder has let the run go`);
    if (holds) {
      if (this.#oracle.isRecorded(run, key))
        this.#world.fail(`the body of "${key}" of ${run} runs although its result is recorded`);
      const first = executions.find((other) => other.epoch < epoch);
      const isFirstOfEpoch = !executions.some((other) => other.epoch === epoch);
      if (first !== undefined && isFirstOfEpoch && !this.#isPlain && attempt <= first.attempt) {
        this.#world.fail(`the attempt of "${key}" of ${run} is ${attempt} again after a takeover`);
      }
    }
    const execution: Execution = { process: process.name, attempt, epoch, claims, isTimed, outcome: 'open' };
    executions.push(execution);
    return execution;
  }

  /** No body runs without a lease, but for those that a cancel has left behind. */
  #waits(run: string, nonce: string): void {
    const now = this.#oracle.shadow(run);
    if (this.#oracle.headers(run).some(({ type }) => type === 'cancel_requested')) return;
    for (const [name, executions] of this.#executions) {
      if (!name.startsWith(`${run}/`)) continue;
      const isOpen = executions.some(
        ({ outcome, process, epoch, claims, isTimed }) =>
          outcome === 'open' &&
          !isTimed &&
          nonce.startsWith(`${process}-`) &&
          epoch === now.epoch &&
          claims === now.claims,
      );
      if (isOpen) this.#world.fail(`${run} went to wait while the body of "${name}" runs`);
    }
  }

  #keyed(step: string, key: string): void {
    const known = this.#keys.get(step);
    if (known !== undefined && known !== key) this.#world.fail(`step ${step} has the key "${key}" and had "${known}"`);
    this.#keys.set(step, key);
  }

  #of(run: string, key: string): Execution[] {
    const name = `${run}/${key}`;
    const known = this.#executions.get(name);
    if (known !== undefined) return known;
    const created: Execution[] = [];
    this.#executions.set(name, created);
    return created;
  }

  #kill(process: SimProcess, { run, key }: { run: string; key: string }): void {
    this.killed.set(run, { key, times: (this.killed.get(run)?.times ?? 0) + 1 });
    process.after(0, () => process.crash());
  }

  /** The code of a run got the result of a step: it is recorded by now (a completion is released after its commit). */
  received(run: string, plan: StepPlan): void {
    const key = this.#keys.get(`${run} ${plan.id}`) ?? '';
    if (!this.#oracle.isRecorded(run, key))
      this.#world.fail(`the result of "${key}" reached the code of ${run} before it was recorded`);
  }

  /** The code of a run saw a value; on replay it sees the same. */
  observed(run: string, what: string, value: unknown): void {
    const name = `${run} ${what}`;
    const seen = JSON.stringify(value);
    const known = this.#observed.get(name);
    if (known === undefined) this.#observed.set(name, seen);
    else if (known !== seen) this.#world.fail(`${what} of ${run} was ${known} and is ${seen} on replay`);
  }

  /** Each execution after the first is explained by a failure, or by a holder that was lost or let the run go. */
  verify(options: { exactlyOnce: boolean }): void {
    for (const [name, executions] of this.#executions) {
      const run = name.slice(0, name.indexOf('/'));
      const { takeovers, yields } = this.#oracle.shadow(run);
      const failures = executions.filter(({ outcome }) => outcome === 'failed').length;
      const holders = 1 + (options.exactlyOnce ? 0 : takeovers + yields);
      const explained = executions[0]?.isTimed === true ? 2 * holders : holders + failures;
      if (executions.length > explained) {
        this.#world.fail(
          `"${name}" ran ${executions.length} times; ${failures} failures, ${takeovers} takeovers and ${yields} yields explain ${explained}`,
        );
      }
    }
  }
}
