/** From a seed to what happens in it: programs, faults, and what clients do. */

import { NO_FAULTS } from './network.ts';
import type { NetworkFaults, Strike } from './network.ts';
import { childId, hookToken, nodesOf, programsOf } from './program.ts';
import type { Node, Program } from './program.ts';
import type { Random } from './random.ts';

export interface Disturbance {
  at: number;
  process: number;
  kind: 'crash' | 'stall' | 'close';
  ms: number;
}

export interface Sender {
  run: string;
  hook: number;
  token: string;
  id: string;
  payload: string;
  at: number;
}

export interface Scenario {
  programs: Program[];
  /** When each program is started. */
  startAt: number[];
  senders: Sender[];
  cancels: Array<{ run: string; at: number }>;
  processes: number;
  push: boolean;
  faults: NetworkFaults;
  /** Virtual time at which faults stop. */
  calmAt: number;
  disturbances: Disturbance[];
  strikes: Strike[][];
  /** How often something happens to a run while its last commit is under way. */
  nudges: number;
  worker: {
    leaseMs: number;
    storeTimeoutMs: number;
    pollMs: number;
    concurrency: number;
    warm: { max: number; ms: number };
  };
  isCalm: boolean;
  /** Code waits for what is not durable. */
  isPlain: boolean;
}

export type ProfileName = 'calm' | 'loss' | 'crash' | 'stall' | 'storm';

const PROFILES: readonly [ProfileName, ...ProfileName[]] = ['calm', 'loss', 'crash', 'stall', 'storm', 'storm'];

const FAULTS: Record<ProfileName, NetworkFaults> = {
  calm: NO_FAULTS,
  loss: { loseRequest: 0.02, loseAnswer: 0.03, repeatRequest: 0.01, delayRequest: 0, loseHint: 0.1 },
  crash: { ...NO_FAULTS, loseHint: 0.05 },
  stall: { loseRequest: 0, loseAnswer: 0.01, repeatRequest: 0, delayRequest: 0.01, loseHint: 0.05 },
  storm: { loseRequest: 0.03, loseAnswer: 0.05, repeatRequest: 0.02, delayRequest: 0.01, loseHint: 0.3 },
};

export function profileOf(seed: number): ProfileName {
  return PROFILES[seed % PROFILES.length] ?? 'storm';
}

export function scenarioOf(random: Random, profile: ProfileName): Scenario {
  const isCalm = profile === 'calm';
  // Waits of the code that are not durable are not repeated as they were: nothing may race with them.
  const plain = random.chance(0.5) && (isCalm || profile === 'loss');
  const maker = new ProgramMaker(random.fork(), { plain });
  const programs = Array.from({ length: random.int(2, 4) }, (_, index) => named(maker.program(), `r${index}`));
  const processes = random.int(1, 3);
  const leaseMs = isCalm ? 15_000 : random.pick([600, 1_000, 2_000]);
  const calmAt = isCalm ? 0 : random.between(500, 4_000);
  return {
    programs,
    startAt: programs.map(() => random.between(0, 200)),
    senders: programs.flatMap((program) => sendersOf(random, program)),
    cancels:
      random.chance(0.3) && !plain
        ? [{ run: `r${random.int(0, programs.length - 1)}`, at: random.between(0, 1_500) }]
        : [],
    processes,
    push: random.chance(0.8),
    faults: FAULTS[profile],
    calmAt,
    disturbances: disturbancesOf(random, { profile, processes, calmAt, leaseMs }),
    strikes: Array.from({ length: processes }, () => strikesOf(random, profile, leaseMs)),
    nudges: isCalm ? 0 : 0.15,
    worker: {
      leaseMs,
      storeTimeoutMs: isCalm ? 3_000 : 200,
      pollMs: isCalm ? 1_000 : 250,
      concurrency: random.pick([2, 3, 200]),
      warm: random.pick([
        { max: 64, ms: 30_000 },
        { max: 64, ms: 30_000 },
        { max: 1, ms: 300 },
      ]),
    },
    isCalm,
    isPlain: plain,
  };
}

interface Where {
  profile: ProfileName;
  processes: number;
  calmAt: number;
  leaseMs: number;
}

function disturbancesOf(random: Random, { profile, processes, calmAt, leaseMs }: Where): Disturbance[] {
  const kinds: Record<ProfileName, Array<Disturbance['kind']>> = {
    calm: [],
    loss: [],
    crash: ['crash', 'crash', 'close'],
    stall: ['stall', 'stall', 'stall'],
    storm: ['crash', 'crash', 'stall', 'stall', 'close'],
  };
  return kinds[profile]
    .filter(() => random.chance(0.7))
    .map((kind) => ({
      at: random.between(0, calmAt),
      process: random.int(0, processes - 1),
      kind,
      ms: kind === 'stall' ? random.between(0.2, 2.5) * leaseMs : random.between(10, 500),
    }));
}

function strikesOf(random: Random, profile: ProfileName, leaseMs: number): Strike[] {
  if (profile !== 'crash' && profile !== 'stall' && profile !== 'storm') return [];
  const phases: [Strike['phase'], ...Array<Strike['phase']>] = ['sent', 'applied', 'answered'];
  return Array.from({ length: random.int(0, 2) }, () => ({
    call: random.int(1, 60),
    phase: random.pick(phases),
    stallMs:
      profile === 'crash' || (profile === 'storm' && random.chance(0.5)) ? null : random.between(0.2, 2) * leaseMs,
  }));
}

function sendersOf(random: Random, root: Program): Sender[] {
  const senders: Sender[] = [];
  for (const program of programsOf(root)) {
    for (const node of nodesOf(program.root)) {
      if ((node.kind !== 'hook' && node.kind !== 'inbox') || (node.kind === 'hook' && !node.isAnswered)) continue;
      const count = node.kind === 'inbox' ? node.count : random.int(1, 2);
      for (let index = 0; index < count; index += 1) {
        const id = `${program.id}-${node.id}-${index}`;
        const token = hookToken(program.id, node.id);
        senders.push({
          run: program.id,
          hook: node.id,
          token,
          id,
          payload: `payload ${id}`,
          at: random.between(0, 1_200),
        });
      }
    }
  }
  return senders;
}

/** Gives a program and its children their run ids. */
function named(program: Program, id: string): Program {
  program.id = id;
  for (const node of nodesOf(program.root)) if (node.kind === 'child') named(node.program, childId(id, node.id));
  return program;
}

class ProgramMaker {
  readonly #random: Random;
  readonly #plain: boolean;
  #ids = 0;

  constructor(random: Random, { plain }: { plain: boolean }) {
    this.#random = random;
    this.#plain = plain;
  }

  program(): Program {
    const random = this.#random;
    const nodes = Array.from({ length: random.int(1, 4) }, () => this.#node(0));
    const body: Node = { kind: 'seq', nodes: [...nodes, this.#step()] };
    const root: Node = random.chance(0.4) ? { kind: 'cleanup', body, cleanup: this.#cleanup() } : body;
    return { id: '', root };
  }

  #next(): number {
    // Odd ids have names of their own: where code waits for what is not durable, the order of equal names is not kept.
    this.#ids += this.#plain ? 2 : 1;
    return this.#ids + (this.#plain ? 1 : 0);
  }

  #node(depth: number): Node {
    const random = this.#random;
    const draw = random.next();
    if (draw < 0.34 || depth > 2) return this.#step();
    if (draw < 0.44)
      return { kind: 'sleep', id: this.#next(), ms: random.chance(0.8) ? random.int(0, 300) : random.int(300, 3_000) };
    if (draw < 0.56) return { kind: 'par', nodes: this.#nodes(depth, 3) };
    if (draw < 0.63 && this.#plain)
      return { kind: 'plain', ms: random.chance(0.7) ? random.int(1, 12) : random.int(12, 60) };
    if (draw < 0.63) return { kind: 'race', nodes: this.#nodes(depth, 2) };
    if (draw < 0.68) return { kind: 'seq', nodes: this.#nodes(depth, 3) };
    if (draw < 0.79)
      return { kind: 'hook', id: this.#next(), gapMs: random.chance(0.3) ? random.int(1, 200) : 0, isAnswered: true };
    if (draw < 0.84) return { kind: 'inbox', id: this.#next(), count: random.int(1, 3) };
    if (draw < 0.9) return this.#child(depth);
    return { kind: 'write', id: this.#next() };
  }

  #nodes(depth: number, most: number): Node[] {
    return Array.from({ length: this.#random.int(2, most) }, () => this.#node(depth + 1));
  }

  #step(): Node {
    const random = this.#random;
    const draw = random.next();
    const failures = draw < 0.75 ? 0 : draw < 0.93 ? random.int(1, 2) : 99;
    const plan = {
      id: this.#next(),
      ms: random.chance(0.2) ? 0 : random.chance(0.9) ? random.int(1, 40) : random.int(40, 1_500),
      failures,
      retryAfter: random.chance(0.3) ? random.int(10, 2_000) : null,
      chunks: random.chance(0.2) ? random.int(1, 3) : 0,
    };
    return { kind: 'step', plan, retries: failures === 99 ? random.int(0, 1) : 3 };
  }

  #child(depth: number): Node {
    const id = this.#next();
    return { kind: 'child', id, program: { id: '', root: { kind: 'seq', nodes: this.#nodes(depth + 1, 2) } } };
  }

  #cleanup(): Node {
    const nodes: Node[] = [this.#step()];
    if (this.#random.chance(0.3)) nodes.push({ kind: 'sleep', id: this.#next(), ms: this.#random.int(1, 500) });
    // Only a cancelled run cleans up, and it may do so for so long only.
    if (this.#random.chance(0.1)) nodes.push({ kind: 'hook', id: this.#next(), gapMs: 0, isAnswered: false });
    return { kind: 'seq', nodes };
  }
}
