/** One seed: the real runtime, several processes, a store behind a bad network, clients; then the checks. */

import { createRuntime } from 'everturn';
import type { Logger, Runtime } from 'everturn';
import { memoryStore } from 'everturn/memory';
import { sha256Hex } from '../../src/runtime/signature.ts';
import type { Store } from '../../src/runtime/store.ts';
import { checkRuns } from './checks.ts';
import { Clients } from './clients.ts';
import { Effects } from './effects.ts';
import { Network, NO_FAULTS } from './network.ts';
import { Oracle } from './oracle.ts';
import { SimProcess } from './process.ts';
import { programWorkflow } from './program.ts';
import type { Program } from './program.ts';
import { profileOf, scenarioOf } from './scenario.ts';
import type { ProfileName, Scenario } from './scenario.ts';
import { World } from './world.ts';

export interface SimulateOptions {
  profile?: ProfileName;
  /** The store under the network; default: the memory store. For mutants. */
  store?: (world: World) => Store;
  /** Whether the store answers in the event of the call. Default true. */
  isAtOnce?: boolean;
  /** What stands between a process and its network. For mutants. */
  between?: (store: Store, world: World, process: SimProcess) => Store;
  log?: (line: string) => void;
}

export interface Outcome {
  seed: number;
  violation: string | undefined;
  events: number;
  calls: number;
}

/** Time after the last fault in which everything must have ended: a cleanup of 30 s, retries, takeovers. */
const CALM_MS = 120_000;
const SECRET = 'simulation';

/** Runs a seed. The same seed gives the same history. */
export async function simulate(seed: number, options: SimulateOptions = {}): Promise<Outcome> {
  const simulation = new Simulation(seed, options);
  await simulation.run().catch((error: unknown) => simulation.world.fail(`the simulation stopped: ${String(error)}`));
  return { seed, violation: simulation.world.violation, events: simulation.world.events, calls: simulation.calls };
}

interface Site {
  process: SimProcess;
  runtime: Runtime;
}

class Simulation {
  readonly world: World;
  readonly #options: SimulateOptions;
  readonly #scenario: Scenario;
  readonly #oracle: Oracle;
  readonly #effects: Effects;
  readonly #store: Store;
  readonly #clients: Clients;
  readonly #sites: Array<Site | undefined>;
  readonly #networks: Network[] = [];
  #names = 0;
  /** Runtimes that close. */
  #closing = 0;
  #isOver = false;

  constructor(seed: number, options: SimulateOptions) {
    this.#options = options;
    this.world = new World(seed, options.log);
    this.#scenario = scenarioOf(this.world.random.fork(), options.profile ?? profileOf(seed));
    this.world.note(() => JSON.stringify(this.#scenario));
    this.#oracle = new Oracle(this.world, this.#bottom(), options);
    this.#store = this.#oracle.store;
    this.#effects = new Effects(this.world, this.#oracle, this.#scenario);
    this.#sites = Array.from({ length: this.#scenario.processes }, () => undefined);
    const process = new SimProcess(this.world, 'client');
    const runtime = this.#runtime(process, { strikes: [], executes: false });
    this.#clients = new Clients({
      world: this.world,
      process,
      runtime,
      site: () => this.world.random.pick([undefined, ...this.#sites])?.runtime,
      scenario: this.#scenario,
      oracle: this.#oracle,
      store: this.#store,
      effects: this.#effects,
    });
  }

  get calls(): number {
    return this.#networks.reduce((sum, network) => sum + [...network.counts.values()].reduce((a, b) => a + b, 0), 0);
  }

  async run(): Promise<void> {
    const { world } = this;
    const { calmAt, disturbances, isCalm, jumps } = this.#scenario;
    for (const index of this.#sites.keys()) this.#boot(index);
    for (const disturbance of disturbances) world.after(disturbance.at, () => this.#disturb(disturbance));
    for (const { at, ms } of jumps) world.after(at, () => world.jump(ms));
    this.#clients.begin();
    const limit = calmAt + CALM_MS;
    await world.drive(() => this.#clients.isDone && this.#closing === 0, limit);
    if (this.#closing > 0) world.fail('a runtime does not close');
    if (world.violation === undefined) await this.#untilAllEnded(limit);
    if (world.violation === undefined) await this.#driven(this.#oracle.verify({ isCalm }));
    if (world.violation === undefined) {
      this.#effects.verify({ exactlyOnce: isCalm });
      await this.#driven(
        checkRuns({
          world,
          scenario: this.#scenario,
          store: this.#store,
          clients: this.#clients,
          oracle: this.#oracle,
        }),
      );
    }
    if (world.violation === undefined && !isCalm) await this.#probe();
    this.#isOver = true;
  }

  #bottom(): Store {
    const store = this.#options.store?.(this.world) ?? memoryStore({ clock: this.world.storeClock });
    return { ...store, capabilities: { ...store.capabilities, push: this.#scenario.push } };
  }

  /** A new process takes a site. */
  #boot(index: number): void {
    if (this.#isOver) return;
    const process = new SimProcess(this.world, `p${(this.#names += 1)}`);
    const strikes = this.#names <= this.#scenario.processes ? (this.#scenario.strikes[index] ?? []) : [];
    this.world.note(() => `${process.name} boots`);
    const site = { process, runtime: this.#runtime(process, { strikes, executes: true }) };
    this.#sites[index] = site;
    process.onCrash = () => this.#replace(index, site);
  }

  /** Another process comes for one that is gone, or closes and is gone soon. */
  #replace(index: number, site: Site): void {
    if (this.#sites[index] !== site) return;
    this.#sites[index] = undefined;
    this.world.after(this.world.random.between(10, 800), () => this.#boot(index));
  }

  #disturb({ process: index, kind, ms }: Scenario['disturbances'][number]): void {
    const site = this.#sites[index];
    if (site === undefined || this.#isOver) return;
    if (kind === 'stall') site.process.stall(ms);
    else if (kind === 'crash') site.process.crash();
    else this.#close(site, { index, graceMs: ms });
  }

  #close(site: Site, { index, graceMs }: { index: number; graceMs: number }): void {
    this.world.note(() => `${site.process.name} closes`);
    this.#replace(index, site);
    this.#closing += 1;
    site.process.onCrash = () => (this.#closing -= 1);
    site.runtime.close({ graceMs }).then(
      () => {
        this.world.note(() => `${site.process.name} has closed`);
        this.#closing -= 1;
        site.process.onCrash = undefined;
        site.process.crash();
      },
      (error: unknown) => this.world.fail(`close failed: ${String(error)}`),
    );
  }

  #runtime(
    process: SimProcess,
    { strikes, executes }: { strikes: Scenario['strikes'][number]; executes: boolean },
  ): Runtime {
    const { worker, faults, calmAt, nudges, limit } = this.#scenario;
    const isRough = (): boolean => this.world.time < calmAt && !this.#isOver;
    const network = new Network({
      world: this.world,
      process,
      store: this.#store,
      faults: () => (isRough() ? faults : NO_FAULTS),
      leaseMs: worker.leaseMs,
      strikes: () => (isRough() ? strikes : []),
      onCommit: ({ run, then, hooks }) => {
        for (const tokenHash of hooks.close) this.#clients.answerLate(tokenHash);
        const isLast = then.kind === 'wait' || then.kind === 'end';
        if (isLast && isRough() && this.world.random.chance(nudges)) this.#clients.nudge(run);
      },
    });
    this.#networks.push(network);
    const between = this.#options.between ?? ((store: Store) => store);
    return createRuntime({
      store: between(network.store, this.world, process),
      workflows: [
        programWorkflow({ process, effects: this.#effects, announce: (token) => this.#announced(token), limit }),
      ],
      secret: SECRET,
      clock: process.clock,
      ids: process.ids,
      logger: this.#logger(process),
      worker: executes ? worker : false,
    });
  }

  /** H2: the row of a hook is there before a later step's body. */
  async #announced(token: string): Promise<void> {
    const row = await this.#store.hook(sha256Hex(token));
    if (row === null) this.world.fail(`a step after createHook ran before the row of "${token}" was committed`);
  }

  /** What the store may take some events for. */
  async #driven<T>(answer: Promise<T>): Promise<T> {
    let isThere = false;
    const there = (): void => {
      isThere = true;
    };
    answer.then(there, there);
    await this.world.drive(() => isThere, this.world.time + 1_000);
    if (!isThere) throw new Error('The store does not answer.');
    return answer;
  }

  /** Runs that nobody waits for (children of branches that lost a race) end too. */
  async #untilAllEnded(limit: number): Promise<void> {
    const { world } = this;
    let open: string[] = ['runs that clients wait for'];
    while (open.length > 0 && world.violation === undefined && world.time < limit) {
      const { items } = await this.#driven(this.#store.list({ limit: 500 }));
      const rows = items.filter((run) => run.endedAt === null);
      for (const run of rows) if (run.status === 'parked') await this.#driven(this.#store.control(run.id, 'resume'));
      open = rows.map(
        (run) => `${run.id} (${run.status}, due ${run.dueAt === null ? 'never' : run.dueAt - world.storeClock.now()})`,
      );
      const until = world.time + 200;
      if (open.length > 0) await world.drive(() => world.time >= until, until);
      world.time = Math.max(world.time, until);
    }
    if (open.length > 0) world.fail(`not ended in time: ${open.join(', ')}`);
  }

  /** A process that lived through it all still takes what is due, also what took its holder along. */
  async #probe(): Promise<void> {
    const { world } = this;
    const survivors = this.#sites.filter((site) => site !== undefined);
    const [survivor] = survivors;
    if (survivor === undefined) return;
    this.#isOver = true;
    for (const site of survivors) if (site !== survivor) site.process.crash();
    const ghost = new SimProcess(world, 'ghost');
    this.#clients.isOver = true;
    const plan = { id: 1, ms: 1, failures: 0, isFatal: false, retryAfter: null, chunks: 0, kills: 0, timeoutMs: null };
    const program: Program = { id: 'probe', root: { kind: 'step', plan, retries: 0 }, fails: false };
    this.#runtime(ghost, { strikes: [], executes: true })
      .start('program', { id: 'probe', input: program })
      .catch((error: unknown) => world.fail(`the probe could not be started: ${String(error)}`));
    const started = world.time + 1_000;
    await world.drive(() => this.#oracle.shadow('probe').epoch > 0, started);
    ghost.crash();
    await world.drive(() => this.#oracle.shadow('probe').ended !== null, started + 10_000);
    if (this.#oracle.shadow('probe').ended === null)
      world.fail(`${survivor.process.name} does not take a due run any more`);
  }

  #logger(process: SimProcess): Logger {
    const { log } = this.#options;
    if (log === undefined) return SILENT;
    const line =
      (level: string) =>
      ({ err, ...fields }: Record<string, unknown>, message: string): void =>
        this.world.note(
          () =>
            `${process.name} ${level}: ${message} ${JSON.stringify(fields)} ${err instanceof Error ? err.message : ''}`,
        );
    return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
  }
}

const SILENT: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
