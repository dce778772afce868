/** What must hold of the runs when everything has ended. */

import { decodeValue } from '../../src/runtime/codec.ts';
import { sha256Hex } from '../../src/runtime/signature.ts';
import type { Run, Store } from '../../src/runtime/store.ts';
import { decodeChunk } from '../../src/runtime/chunk.ts';
import type { Clients } from './clients.ts';
import type { Oracle } from './oracle.ts';
import { hookToken, LOG, misfit, nodesOf, programsOf } from './program.ts';
import type { Node, Program } from './program.ts';
import type { Scenario } from './scenario.ts';
import type { World } from './world.ts';

export interface CheckParts {
  world: World;
  scenario: Scenario;
  store: Store;
  clients: Clients;
  oracle: Oracle;
}

export async function checkRuns(parts: CheckParts): Promise<void> {
  const { scenario, store } = parts;
  for (const root of scenario.programs) {
    for (const program of programsOf(root)) {
      const run = await store.get(program.id);
      if (run !== null) checkRun(parts, { program, run });
    }
  }
}

function checkRun(parts: CheckParts, { program, run }: { program: Program; run: Run }): void {
  const { world, clients, scenario } = parts;
  if (run.status === 'failed' && !program.fails) {
    world.fail(`${run.id} failed: ${run.error === null ? '' : String(decodeValue(run.error))}`);
    return;
  }
  if (run.status === 'cancelled' && !run.cancel) world.fail(`${run.id} ended as cancelled and nobody cancelled it`);
  const told = clients.ended.get(run.id);
  if (told !== undefined && told.status !== run.status)
    world.fail(`a client was told that ${run.id} is ${told.status}; it is ${run.status}`);
  if (canEndWell(scenario) && run.parent === null && run.status !== (program.fails ? 'failed' : 'completed'))
    world.fail(`${run.id} is ${run.status}`);
  if (run.status === 'completed') {
    const value = run.result === null ? undefined : decodeValue(run.result);
    const payloads = (id: number): unknown[] => takenPayloads(parts, hookToken(run.id, id));
    const found = misfit(program.root, value, payloads);
    if (found !== undefined) world.fail(`the result of ${run.id} does not fit: ${found}`);
  }
  checkLog(parts, { program, run });
}

/** Nobody cancels anything. */
function canEndWell({ cancels, nudges, thread }: Scenario): boolean {
  return cancels.length === 0 && nudges === 0 && thread.whenBusy !== 'interrupt';
}

/** What a hook took; what was acknowledged is among it. */
function takenPayloads({ world, scenario, clients, oracle }: CheckParts, token: string): unknown[] {
  const ids = oracle.taken(sha256Hex(token));
  const payloads = scenario.senders.filter(({ id }) => ids.includes(id)).map(({ payload }) => payload);
  for (const payload of clients.acknowledged.get(token) ?? []) {
    if (!payloads.includes(payload)) world.fail(`"${payload}" was acknowledged and its hook did not take it`);
  }
  return payloads;
}

interface Chunk {
  write?: number;
  step?: number;
  execution?: number;
  index?: number;
}

function checkLog({ world, oracle }: CheckParts, { program, run }: { program: Program; run: Run }): void {
  const chunks = (oracle.shadow(run.id).streams.get(LOG) ?? []).map((payload) => decodeChunk(payload) as Chunk);
  const nodes = [...nodesOf(program.root)];
  const surely = run.status === 'completed' ? new Set(surelyExecuted(program.root)) : new Set<Node>();
  for (const node of nodes) {
    if (node.kind === 'write') {
      const count = chunks.filter((chunk) => chunk.write === node.id).length;
      if (count > 1 || (count === 0 && surely.has(node)))
        world.fail(`write ${node.id} of ${run.id} is ${count} times in the stream`);
    } else if (node.kind === 'step' && node.plan.chunks > 0 && node.plan.timeoutMs === null) {
      const complete = checkStepChunks(
        world,
        chunks.filter((chunk) => chunk.step === node.plan.id),
        node.plan.chunks,
      );
      if (!complete && surely.has(node))
        world.fail(`step ${node.plan.id} of ${run.id} was recorded without its chunks`);
    }
  }
}

/** The chunks of each execution come in order; answers whether those of one are complete. */
function checkStepChunks(world: World, chunks: Chunk[], count: number): boolean {
  const next = new Map<number, number>();
  for (const { execution = 0, index = 0, step } of chunks) {
    const expected = next.get(execution) ?? 0;
    if (index !== expected) world.fail(`chunk ${index} of step ${step} came where ${expected} was due`);
    next.set(execution, expected + 1);
  }
  return [...next.values()].includes(count);
}

/** What has been executed to its end when the program has completed. */
function* surelyExecuted(node: Node): Generator<Node> {
  yield node;
  if (node.kind === 'seq' || node.kind === 'par') for (const each of node.nodes) yield* surelyExecuted(each);
  if (node.kind === 'cleanup') yield* surelyExecuted(node.body);
}
