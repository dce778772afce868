/** Samples, and how they become figures: medians with their spread, ratios of what was measured in turns. */

export function quantile(samples: readonly number[], p: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? Number.NaN;
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/** A measured value: the median of its rounds, the least and the greatest of them. */
export interface Measured {
  median: number;
  least: number;
  most: number;
}

export function measured(samples: readonly number[]): Measured {
  return { median: median(samples), least: Math.min(...samples), most: Math.max(...samples) };
}

export interface Turns {
  ours: number[];
  floor: number[];
}

export interface TurnsOptions {
  rounds: number;
  /** Rounds that are thrown away: the first ones compile. */
  warmUp?: number;
  floor: () => number | Promise<number>;
  ours: () => number | Promise<number>;
}

/** Floor and ours in turns, so that noise of the machine meets both. Each answers its own figure. */
export async function inTurns({ rounds, warmUp = 1, floor, ours }: TurnsOptions): Promise<Turns> {
  const turns: Turns = { ours: [], floor: [] };
  for (let round = -warmUp; round < rounds; round += 1) {
    const below = await floor();
    const value = await ours();
    if (round < 0) continue;
    turns.floor.push(below);
    turns.ours.push(value);
  }
  return turns;
}

/** Ratios of neighbours: each round of ours over the round of the floor that was measured just before it. */
export function ratios({ ours, floor }: Turns): number[] {
  return ours.map((value, index) => value / (floor[index] ?? Number.NaN));
}

export async function timed(run: () => unknown): Promise<number> {
  const startedAt = performance.now();
  await run();
  return performance.now() - startedAt;
}

/** Milliseconds on the machine's monotonic clock, the same in all processes. */
export function machineNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
