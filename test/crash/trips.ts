/** Travellers that are killed at a write and finished by another process, and what must be true of each afterwards. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readUIMessageStream } from 'ai';
import type { UIMessage, UIMessageChunk } from 'ai';
import { expect } from 'vitest';
import type { LogEntry } from '../../examples/model-server/request-log.ts';
import { startModelServer } from '../../examples/model-server/server.ts';
import type { ModelServer } from '../../examples/model-server/server.ts';
import { startChild } from '../support/child.ts';
import type { Death } from '../support/deadly-store.ts';
import type { McpServer } from '../support/mcp-server.ts';
import { startWitness } from '../support/witness.ts';
import type { Witness, WitnessRecord } from '../support/witness.ts';
import type { Trip, TripReport } from './traveller-process.ts';
import { EFFECTS, startWeatherServer, travelScenario, TURNS } from './traveller.ts';
import type { Surroundings } from './traveller.ts';

/** What outlives the killed: model, witness and MCP server. */
export interface World {
  at: Surroundings;
  witness: Witness;
  model: ModelServer;
  mcp: McpServer;
  /** Where a run lives, by its id and its directory. */
  storeOf: StoreOf;
  close(): Promise<void>;
}

/** As `openStore` takes it. */
type StoreOf = (trip: Pick<Trip, 'id' | 'directory'>) => string;

const inFile: StoreOf = ({ directory }) => `sqlite:${join(directory, 'runs.db')}`;

export async function openWorld(storeOf: StoreOf = inFile): Promise<World> {
  const witness = await startWitness();
  const model = await startModelServer({ pacingMs: 1, scenarios: [travelScenario] });
  const mcp = await startWeatherServer(witness.url);
  return {
    at: { modelUrl: model.baseURL, witnessUrl: witness.url, mcpUrl: mcp.url },
    witness,
    model,
    mcp,
    storeOf,
    close: async () => {
      await Promise.all([witness.close(), model.close(), mcp.close()]);
    },
  };
}

export interface KilledTrip {
  trip: Trip;
  /** Writes of the killed process; the one at which it died begins with `!`. */
  writes: string[];
  died: boolean;
  /** Requests that the model had seen when it was dead. */
  requests: number;
  /** How often the run was killed. */
  deaths: number;
}

const EXPECTED_WARNINGS = [
  'lease_lost: taken over from a worker whose lease ended',
  'a turn was under way when its process ended; it is tried again',
];
/** Runs that one process finishes at once. */
const BATCH = 8;
const PROCESS = new URL('traveller-process.ts', import.meta.url);
let trips = 0;

/** Starts a run, or goes on with one, in a process that dies as told. */
export async function killTrip(
  { at, model, storeOf }: World,
  death: Death | undefined,
  earlier?: KilledTrip,
): Promise<KilledTrip> {
  trips += earlier === undefined ? 1 : 0;
  const where = earlier?.trip ?? {
    id: `trip-${trips}`,
    directory: mkdtempSync(join(tmpdir(), 'everturn-trip-')),
  };
  const { id, directory } = where;
  const trip: Trip = { id, directory, store: storeOf(where), ...(death === undefined ? {} : { death }) };
  const { code, signal } = await startChild(PROCESS, { at, trips: [trip] }).ended;
  expect(code === 0 || signal === 'SIGKILL', `${id} ended with ${code ?? signal}`).toBe(true);
  const log = join(directory, 'writes.txt');
  const writes = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [];
  const died = signal === 'SIGKILL';
  return { trip, writes, died, requests: model.log.length, deaths: (earlier?.deaths ?? 0) + (died ? 1 : 0) };
}

/** A fresh process for several dead ones: each run has a file of its own. */
async function finishTrips({ at }: World, killed: KilledTrip[]): Promise<TripReport[]> {
  const tasks = killed.map(({ trip: { id, directory, store } }) => ({ id, directory, store }));
  const child = startChild<TripReport>(PROCESS, { at, trips: tasks });
  const { code } = await child.ended;
  expect(code, `the process that finishes ${tasks.map(({ id }) => id).join(', ')}`).toBe(0);
  return tasks.map(({ id }) => child.messages.find((report) => report.id === id) ?? fail(`no report of ${id}`));
}

/** Each write of a whole run as a place to die at. */
export function deathsOf(writes: string[], when: Death['when']): Death[] {
  let since: string | undefined;
  let flush = 0;
  return writes.map((write): Death => {
    const [first = ''] = write.split(', ');
    const place = since === undefined ? { when } : { when, since };
    if (first === 'chunks') return { ...place, flush: (flush += 1) };
    since = first;
    flush = 0;
    return { ...place, at: first };
  });
}

function nameOf({ when, since, at, flush, nth }: Death): string {
  if (nth !== undefined) return `${when} write ${nth}`;
  return at === undefined ? `${when} flush ${flush} since ${since}` : `${when} ${at}`;
}

/** Everything that is promised of a run that was killed once. */
async function checkTrip(world: World, { killed, report }: { killed: KilledTrip; report: TripReport }): Promise<void> {
  const requests = world.model.log.filter((entry) => JSON.stringify(entry.request).includes(`says ${report.id}.`));
  expect(report.result.turns).toBe(TURNS);
  expect(requests.map(({ error }) => error).filter(Boolean)).toEqual([]);
  checkStream(report);
  const tokens = checkTokens(report, requests);
  checkRequests(report, { requests, late: world.model.log.slice(killed.requests), tokens, deaths: killed.deaths });
  checkEffects(report, { records: world.witness.records(), deaths: killed.deaths });
  checkLedger(report, killed.deaths);
  // A takeover is told, and nothing went wrong otherwise.
  const unexpected = report.warnings.filter((line) => !EXPECTED_WARNINGS.includes(line));
  expect(unexpected, unexpected.join('; ')).toEqual([]);
  expect(new Set(report.warnings).size).toBe(report.warnings.length);
  const folded = await fold(report.after.chunks);
  expect(folded).toEqual(report.result.uiMessage);
}

/** No gap, nothing twice, an explicit end: what stood there before stays, and a reader that comes back gets the rest of it. */
function checkStream({ before, after, resumed }: TripReport): void {
  expect(after.chunks.slice(0, before.chunks.length)).toEqual(before.chunks);
  expect([...before.chunks, ...resumed]).toEqual(after.chunks);
  const types = after.chunks.map(({ type }) => type);
  expect(types.filter((type) => type === 'start')).toHaveLength(1);
  expect(types.filter((type) => type === 'finish')).toHaveLength(1);
  expect(types.at(-1)).toBe('finish');
  expect(types.filter((type) => type === 'finish-step')).toHaveLength(TURNS);
}

/** What is visible of a turn comes from one response that was logged as a whole one. Answers the token of each turn. */
function checkTokens({ result }: TripReport, requests: LogEntry[]): string[] {
  const steps = stepsOf(result.uiMessage);
  const texts = steps.map((parts) => parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join(''));
  const tokens = texts.map((text, turn) => {
    const seen = tokensIn(text);
    expect(seen, `tokens of turn ${turn}`).toHaveLength(3);
    expect(new Set(seen).size).toBe(1);
    return seen[0] ?? '';
  });
  expect(tokens).toHaveLength(TURNS);
  for (const [turn, token] of tokens.entries()) {
    const entry = requests.find((request) => request.token === token);
    expect(entry).toMatchObject({ turn, outcome: 'completed' });
    expect(new Set(tokensIn(JSON.stringify(steps[turn])))).toEqual(new Set([token]));
  }
  const assistant = result.messages.filter((message) => (message as { role: string }).role === 'assistant');
  expect(assistant.map((message) => [...new Set(tokensIn(JSON.stringify(message)))])).toEqual(
    tokens.map((token) => [token]),
  );
  expect(new Set(tokensIn(JSON.stringify(result)))).toEqual(new Set(tokens));
  return tokens;
}

/** A turn that the file held is never asked for again; one that it did not hold is asked for once more. */
function checkRequests(
  { before }: TripReport,
  { requests, late, tokens, deaths }: { requests: LogEntry[]; late: LogEntry[]; tokens: string[]; deaths: number },
): void {
  const committed = before.events.filter(({ type }) => type === 'turn_completed').length;
  for (let turn = 0; turn < TURNS; turn += 1) {
    const ofTurn = requests.filter((request) => request.turn === turn);
    const afterDeath = ofTurn.filter((request) => late.includes(request));
    expect(afterDeath, `requests for turn ${turn} after the death`).toHaveLength(turn < committed ? 0 : 1);
    expect(ofTurn.length, `requests for turn ${turn}`).toBeLessThanOrEqual(deaths + 1);
    expect(ofTurn.at(-1)?.token).toBe(tokens[turn]);
  }
}

/** Each turn was paid for once; what a dead process had begun and not recorded stands there as unknown. */
function checkLedger({ attempts, before }: TripReport, deaths: number): void {
  const turns = [...Map.groupBy(attempts, ({ turn }) => turn).values()].map((rows) =>
    rows.map(({ outcome }) => outcome),
  );
  expect(turns.map((outcomes) => outcomes.at(-1))).toEqual(Array.from({ length: TURNS }, () => 'completed'));
  const earlier = turns.flatMap((outcomes) => outcomes.slice(0, -1));
  expect(earlier.filter((outcome) => outcome !== 'unknown')).toEqual([]);
  const begun = before.chunks.filter(({ type }) => type === 'start-step').length;
  const isCutOff = before.events.filter(({ type }) => type === 'turn_completed').length < begun;
  expect(earlier.length).toBeGreaterThanOrEqual(isCutOff ? 1 : 0);
  expect(earlier.length).toBeLessThanOrEqual(Math.max(0, deaths - (isCutOff ? 0 : 1)));
}

/**
 * What was recorded took effect once; what was in doubt, again under its key with a higher attempt. A tool whose turn was recorded may
 * have begun before a death, so its first effect afterwards may be that of attempt 2.
 */
function checkEffects(
  { id, pid, before, after }: TripReport,
  { records, deaths }: { records: WitnessRecord[]; deaths: number },
): void {
  const own = records
    .filter(({ key }) => key.startsWith(`${id}/`))
    .map((record) => ({ ...record, key: record.key.slice(id.length + 1) }));
  const byKey = Map.groupBy(own, ({ key }) => key);
  const [recorded, inTheEnd] = [completionsOf(before), completionsOf(after)];
  for (const [key, effects] of byKey) {
    const attempts = effects.map(({ attempt }) => attempt);
    const isRising = attempts.every((attempt, index) => attempt > (attempts[index - 1] ?? 0) && attempt <= deaths + 1);
    expect(isRising, `attempts of ${key}: ${attempts.join()}`).toBe(true);
    const mayHaveBegun =
      key.includes('/init/') ||
      before.events.some(({ type, key: turn }) => type === 'turn_completed' && key.startsWith(`${turn}/`));
    if (!mayHaveBegun) expect(attempts, `attempts of ${key}`).toEqual([1]);
    if (recorded.has(key)) expect(effects.map((effect) => effect.pid)).not.toContain(pid);
    expect(inTheEnd).toContain(key);
  }
  const calls = Map.groupBy([...byKey.values()].flat(), ({ toolCallId }) => toolCallId);
  const found = [...calls.values()].map((effects) => [effects[0]?.tool, new Set(effects.map(({ key }) => key)).size]);
  expect(found).toHaveLength(Object.keys(EFFECTS).length);
  expect(Object.fromEntries(found)).toEqual(EFFECTS);
}

function completionsOf({ events }: TripReport['before']): Set<string> {
  return new Set(
    events.filter(({ type }) => type === 'tool_completed' || type === 'step_completed').map(({ key }) => key),
  );
}

async function fold(chunks: UIMessageChunk[]): Promise<UIMessage | undefined> {
  let last: UIMessage | undefined;
  const stream = new ReadableStream<UIMessageChunk>({
    start: (controller) => {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  for await (const message of readUIMessageStream({ stream })) last = message;
  return last;
}

function stepsOf({ parts }: UIMessage): UIMessage['parts'][] {
  const steps: UIMessage['parts'][] = [];
  for (const part of parts) {
    if (part.type === 'step-start') steps.push([]);
    else steps.at(-1)?.push(part);
  }
  return steps;
}

function tokensIn(text: string): string[] {
  return text.match(/tk_[0-9a-f]{8}/g) ?? [];
}

function fail(message: string): never {
  throw new Error(message);
}

/** Kills a run at each place, lets other processes finish all, and answers what does not hold, a line for each run. */
export async function flawsAfter(
  world: World,
  deaths: readonly Death[],
): Promise<{ flaws: string[]; killed: KilledTrip[] }> {
  const killed = await pooled(deaths, { width: 2, run: (death) => killTrip(world, death) });
  return { flaws: await flawsOf(world, killed), killed };
}

export async function flawsOf(world: World, killed: readonly KilledTrip[]): Promise<string[]> {
  const batches = Array.from({ length: Math.ceil(killed.length / BATCH) }, (_, index) =>
    killed.slice(index * BATCH, (index + 1) * BATCH),
  );
  const reports = (await pooled(batches, { width: 2, run: (batch) => finishTrips(world, batch) })).flat();
  const flaws: string[] = [];
  for (const one of killed) {
    const report = reports.find(({ id }) => id === one.trip.id) ?? fail(`no report of ${one.trip.id}`);
    const check = checkTrip(world, { killed: one, report });
    // The files of what failed stay, to be looked at.
    await check
      .then(() => rmSync(one.trip.directory, { recursive: true }))
      .catch((error: Error) => {
        const where = one.trip.death === undefined ? 'nowhere' : nameOf(one.trip.death);
        flaws.push(`killed ${where} (${one.trip.directory}): ${error.message}`);
      });
  }
  return flaws;
}

/** Names of the writes that record something and at which a process died. */
export function recordingsHit(killed: readonly KilledTrip[]): Set<string> {
  const last = killed.flatMap(({ writes }) => writes.filter((write) => write.startsWith('! ')));
  return new Set(last.flatMap((write) => write.slice(2).split(', ')));
}

/** Runs jobs, so many at a time. */
export async function pooled<T, RESULT>(
  items: readonly T[],
  options: { width: number; run: (item: T) => Promise<RESULT> },
): Promise<RESULT[]> {
  const results: RESULT[] = [];
  const queue = [...items.entries()];
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [index, item] = next;
      results[index] = await options.run(item);
    }
  };
  await Promise.all(Array.from({ length: options.width }, work));
  return results;
}
