/** From a seed to what happens in it: programs, faults, and what clients do. */

import { deliveryIdOf } from '../../src/app/approval-decision.ts';
import { NO_FAULTS } from './network.ts';
import type { NetworkFaults, Strike } from './network.ts';
import { BAD, hookToken, nodesOf, programsOf } from './program.ts';
import type { Program } from './program.ts';
import { named, ProgramMaker } from './program-maker.ts';
import type { Random } from './random.ts';

export interface Disturbance {
  at: number;
  process: number;
  kind: 'crash' | 'stall' | 'close';
  ms: number;
}

export interface Sender {
  run: string;
  token: string;
  /** Of its delivery. */
  id: string;
  by: string;
  payload: string;
  /** What it sends is the reason of a decision. */
  isApproval: boolean;
  /** Sends again when another payload was first: that one may be refused. */
  isPatient: boolean;
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
  /** Runs of one thread, and what a start does while another is active. */
  thread: { runs: string[]; whenBusy: 'queue' | 'interrupt' };
  /** Times at which the store's clock jumps ahead. */
  jumps: Array<{ at: number; ms: number }>;
  isCalm: boolean;
  /** Code waits for what is not durable. */
  isPlain: boolean;
  /** How many programs execute at once, children among them. Null: as many as there are. */
  limit: number | null;
}

export type ProfileName = 'calm' | 'loss' | 'crash' | 'stall' | 'storm';

const PROFILES: readonly [ProfileName, ...ProfileName[]] = ['calm', 'loss', 'crash', 'stall', 'storm', 'storm'];

const FAULTS: Record<ProfileName, NetworkFaults> = {
  calm: NO_FAULTS,
  loss: { loseRequest: 0.02, loseAnswer: 0.03, repeatRequest: 0.01, delayRequest: 0, loseHint: 0.1 },
  crash: { ...NO_FAULTS, loseHint: 0.05 },
  stall: { loseRequest: 0, loseAnswer: 0.01, repeatRequest: 0, delayRequest: 0.04, loseHint: 0.05 },
  storm: { loseRequest: 0.03, loseAnswer: 0.05, repeatRequest: 0.02, delayRequest: 0.01, loseHint: 0.3 },
};

export function profileOf(seed: number): ProfileName {
  return PROFILES[seed % PROFILES.length] ?? 'storm';
}

export function scenarioOf(random: Random, profile: ProfileName): Scenario {
  const isCalm = profile === 'calm';
  // Waits of the code that are not durable are not repeated as they were: nothing may race with them.
  const plain = random.chance(0.5) && (isCalm || profile === 'loss');
  const maker = new ProgramMaker(random.fork(), {
    plain,
    poison: profile === 'crash' || profile === 'storm' ? 0.02 : 0,
    long: profile === 'stall' ? 0.3 : 0.08,
  });
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
    thread: {
      runs: random.chance(0.3) ? ['r0', 'r1'] : [],
      whenBusy: plain || random.chance(0.6) ? 'queue' : 'interrupt',
    },
    jumps:
      random.chance(0.3) && (profile === 'stall' || profile === 'storm')
        ? [{ at: random.between(0, calmAt), ms: random.between(0.3, 3) * leaseMs }]
        : [],
    isCalm,
    isPlain: plain,
    limit: random.chance(0.3) ? random.int(1, 2) : null,
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
  return Array.from({ length: random.int(0, 3) }, () => ({
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
      const isStrict = node.kind === 'hook' && node.isStrict;
      const good = node.kind === 'inbox' ? node.count : random.int(1, 2);
      const bad = isStrict ? random.int(0, 2) : 0;
      for (let index = 0; index < good + bad; index += 1) {
        const by = `${program.id}-${node.id}-${index}`;
        const token = hookToken(program.id, node.id);
        const payload = `${index < good ? 'payload' : BAD} ${by}`;
        const isPatient = isStrict && index < good;
        const isApproval = node.kind === 'hook' && node.isApproval;
        const id = isApproval ? deliveryIdOf(token, { by, decision: { approved: true, reason: payload } }) : by;
        senders.push({ run: program.id, token, id, by, payload, isApproval, isPatient, at: random.between(0, 1_200) });
      }
    }
  }
  return senders;
}
