/** Random programs. */

import { childId, nodesOf } from './program.ts';
import type { Node, Program } from './program.ts';
import type { Random } from './random.ts';

/** Gives a program and its children their run ids. */
export function named(program: Program, id: string): Program {
  program.id = id;
  for (const node of nodesOf(program.root)) if (node.kind === 'child') named(node.program, childId(id, node.id));
  return program;
}

/** A hook's token that several runs ask for. */
export const SHARED_TOKEN = 'shared';

export interface MakerOptions {
  /** Code waits for what is not durable. */
  plain: boolean;
  /** How often a step takes its process along. */
  poison: number;
  /** How often a step takes long. */
  long: number;
}

/** Makes random programs. */
export class ProgramMaker {
  readonly #random: Random;
  readonly #options: MakerOptions;
  #ids = 0;

  constructor(random: Random, options: MakerOptions) {
    this.#random = random;
    this.#options = options;
  }

  program(): Program {
    const random = this.#random;
    const nodes = Array.from({ length: random.int(1, 4) }, () => this.#node(0));
    const body: Node = { kind: 'seq', nodes: [...nodes, this.#step()] };
    const root: Node = random.chance(0.4) ? { kind: 'cleanup', body, cleanup: this.#cleanup() } : body;
    const fails = random.chance(0.07);
    return { id: '', root, fails, chapters: this.#mayHaveChapters(root) };
  }

  /** A branch that lost a race would go on in another chapter; nothing may be under way where one ends. */
  #mayHaveChapters(root: Node): boolean {
    const isAlone = [...nodesOf(root)].every(({ kind }) => kind !== 'race');
    return root.kind === 'seq' && isAlone && !this.#options.plain && this.#ids % 2 === 0;
  }

  #next(): number {
    // Odd ids have names of their own: where code waits for what is not durable, the order of equal names is not kept.
    this.#ids += this.#options.plain ? 2 : 1;
    return this.#ids + (this.#options.plain ? 1 : 0);
  }

  #node(depth: number): Node {
    const random = this.#random;
    const draw = random.next();
    if (draw < 0.34 || depth > 2) return this.#step();
    if (draw < 0.44)
      return { kind: 'sleep', id: this.#next(), ms: random.chance(0.8) ? random.int(0, 300) : random.int(300, 3_000) };
    if (draw < 0.56) return { kind: 'par', nodes: this.#options.plain ? this.#late() : this.#nodes(depth, 3) };
    if (draw < 0.63 && this.#options.plain) return this.#plainWait();
    if (draw < 0.63) return { kind: 'race', nodes: this.#nodes(depth, 2) };
    if (draw < 0.68) return { kind: 'seq', nodes: this.#nodes(depth, 3) };
    if (draw < 0.79) return this.#hook();
    if (draw < 0.81) return { kind: 'clash', token: SHARED_TOKEN };
    if (draw < 0.82) return { kind: 'ownId' };
    if (draw < 0.85) return this.#inbox();
    if (draw < 0.9) return this.#child(depth);
    return { kind: 'write', id: this.#next() };
  }

  #hook(): Node {
    const random = this.#random;
    const id = this.#next();
    const gapMs = random.chance(0.3) ? random.int(1, 200) : 0;
    const isStrict = random.chance(0.3);
    const expiresIn = !this.#options.plain && random.chance(0.3) ? random.int(1, 1_500) : null;
    const isApproval = expiresIn !== null && !isStrict && id % 2 === 0;
    return { kind: 'hook', id, gapMs, isAnswered: true, isStrict, expiresIn, isApproval };
  }

  #nodes(depth: number, most: number): Node[] {
    return Array.from({ length: this.#random.int(2, most) }, () => this.#node(depth + 1));
  }

  /** Half of them take what comes until they are closed, while it comes. */
  #inbox(): Node {
    const id = this.#next();
    const count = this.#random.int(1, 3);
    return { kind: 'inbox', id, count, closesAfterMs: id % 2 === 0 ? 1 + ((id * 97) % 800) : null };
  }

  #plainWait(): Node {
    const random = this.#random;
    return { kind: 'plain', ms: random.chance(0.8) ? random.between(2, 25) : random.int(25, 60) };
  }

  /** Code that is on its way to a step when the run goes to wait. */
  #late(): Node[] {
    const wait: Node = this.#random.chance(0.5)
      ? { kind: 'sleep', id: this.#next(), ms: this.#random.int(50, 300) }
      : { kind: 'inbox', id: this.#next(), count: 1, closesAfterMs: null };
    return [wait, { kind: 'seq', nodes: [this.#plainWait(), this.#step()] }, this.#plainWait()];
  }

  #step(): Node {
    const random = this.#random;
    const draw = random.next();
    const failures = draw < 0.75 ? 0 : draw < 0.93 ? random.int(1, 2) : 99;
    const plan = {
      id: this.#next(),
      ms: random.chance(0.2) ? 0 : random.chance(this.#options.long) ? random.int(40, 1_500) : random.int(1, 40),
      failures,
      isFatal: failures === 99 && random.chance(0.5),
      retryAfter: random.chance(0.3) ? random.int(10, 2_000) : null,
      kills: random.chance(this.#options.poison) ? random.int(1, 6) : 0,
      chunks: random.chance(0.25) ? random.int(1, 6) : 0,
      timeoutMs: random.chance(0.05) ? random.int(5, 30) : null,
    };
    return { kind: 'step', plan, retries: failures === 99 || plan.timeoutMs !== null ? random.int(0, 1) : 3 };
  }

  #child(depth: number): Node {
    const id = this.#next();
    return {
      kind: 'child',
      id,
      program: { id: '', root: { kind: 'seq', nodes: this.#nodes(depth + 1, 2) }, fails: this.#random.chance(0.2) },
    };
  }

  #cleanup(): Node {
    const nodes: Node[] = [this.#step()];
    if (this.#random.chance(0.3)) nodes.push({ kind: 'sleep', id: this.#next(), ms: this.#random.int(1, 500) });
    // Only a cancelled run cleans up, and it may do so for so long only.
    if (this.#random.chance(0.1))
      nodes.push({
        kind: 'hook',
        id: this.#next(),
        gapMs: 0,
        isAnswered: false,
        isStrict: false,
        expiresIn: null,
        isApproval: false,
      });
    return { kind: 'seq', nodes };
  }
}
