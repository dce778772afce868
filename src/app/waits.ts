/** What a waiting run waits for. */

import { readApprovalDetails } from '../agent/tool/approval.ts';
import type { ApprovalDetails } from '../agent/tool/approval.ts';
import { whereOf } from '../agent/tool/approval-origin.ts';
import type { ClientToolDetails } from '../agent/run/segment-outcome.ts';
import { readQuestionDetails } from '../hooks/question.ts';
import type { QuestionDetails } from '../hooks/question.ts';
import { decodeValue } from '../runtime/codec.ts';
import { DurableError } from '../runtime/errors.ts';
import { Journal } from '../runtime/journal.ts';
import { readDescendants } from '../runtime/lineage.ts';
import { LONGEST_TO_LOOK_MS } from '../runtime/next-look.ts';
import type { Hook, HookQuery, Responder, Run, Store } from '../runtime/store.ts';

export type Wait = ApprovalWait | QuestionWait | ClientToolWait | HookWait | SleepWait;

/** A person has to decide. */
export interface ApprovalWait extends Omit<ApprovalDetails, 'id' | 'rules' | 'origin'> {
  kind: 'approval';
  approvalId: string;
  /** The run whose call it is: this one, or one that it has started as a child, at any depth. */
  run: string;
  /** From the run at the top over the agents below it to the tool. */
  path: string[];
  /** It is asked by an agent below the run's own, and its segment is not at an end. */
  isInner: boolean;
  /** How many distinct people must approve. */
  needed: number;
  /** Who answered so far. */
  answers: Responder[];
}

/** A person has to answer. */
export interface QuestionWait extends Omit<QuestionDetails, 'id'> {
  kind: 'question';
  questionId: string;
}

/** A client has to bring the output of a tool without `execute`. */
export interface ClientToolWait {
  kind: 'client-tool';
  toolCallId: string;
  tool: string;
  input: unknown;
}

export interface HookWait {
  kind: 'hook';
  key: string;
}

/** A sleep, a timer, or the delay before a next attempt. */
export interface SleepWait {
  kind: 'sleep';
  until: number;
}

type WaitingRun = Pick<Run, 'id' | 'status' | 'dueAt' | 'updatedAt'>;

/** Oldest first; empty unless the run is waiting. */
export async function readWaits(store: Store, run: WaitingRun): Promise<Wait[]> {
  if (run.status !== 'waiting') return [];
  const [hooks, below, until] = await Promise.all([
    openHooks(store, { run: run.id }),
    approvalsBelow(store, run.id),
    nextTimer(store, run),
  ]);
  const waits = [...hooks, ...below].toSorted((a, b) => a.createdAt - b.createdAt).map((hook) => toWait(hook, run.id));
  return until === null ? waits : [...waits, { kind: 'sleep', until }];
}

/** The row may be due earlier, to be looked at; what the run sleeps for stands in its journal then. */
async function nextTimer(store: Store, { id, dueAt, updatedAt }: WaitingRun): Promise<number | null> {
  if (dueAt === null || dueAt - updatedAt > LONGEST_TO_LOOK_MS) return dueAt;
  const loaded = await store.load(id);
  const timers = unlessCorrupt(() => Journal.load(loaded, { from: 0 }).openTimers()) ?? [];
  const next = Math.min(...timers.filter((timer) => timer >= dueAt));
  return next === Infinity ? null : next;
}

/**
 * Whether the run's segment has ended and only a person or a client can make it go on. A question, also one about an interrupted call, is none
 * of these: it stands in the middle of a segment.
 */
export function isSuspended(waits: readonly Wait[]): boolean {
  return waits.some(
    (wait) => wait.kind === 'client-tool' || (wait.kind === 'approval' && wait.question === 'execute' && !wait.isInner),
  );
}

/** The call of a client-side tool that a hook stands for; undefined for other hooks, and if its row cannot be read. */
export function clientToolOf(hook: Hook): ClientToolDetails | undefined {
  if (hook.kind !== 'hook' || !hook.key.includes('/client-tool:')) return undefined;
  const details = unlessCorrupt(() => decodeValue(hook.details) as Partial<ClientToolDetails> | null);
  return details?.question === 'client-tool' ? (details as ClientToolDetails) : undefined;
}

async function approvalsBelow(store: Store, run: string): Promise<Hook[]> {
  const below = await readDescendants(store, run, { live: true });
  return (await Promise.all(below.map(({ id }) => openHooks(store, { run: id, kind: 'approval' })))).flat();
}

/** Oldest first. */
async function openHooks(store: Store, of: Pick<HookQuery, 'run' | 'kind'>): Promise<Hook[]> {
  const hooks: Hook[] = [];
  for (let cursor: string | undefined; ;) {
    const query: HookQuery = { ...of, status: ['open'], limit: 500 };
    const page = await store.listHooks(cursor === undefined ? query : { ...query, cursor });
    hooks.push(...page.items);
    if (page.cursor === null) return hooks.toReversed();
    cursor = page.cursor;
  }
}

/** Of a row that cannot be read its key is known. */
function toWait(hook: Hook, ofRun: string): Wait {
  if (hook.kind === 'approval') {
    const asked = unlessCorrupt(() => readApprovalDetails(hook.details));
    if (asked === undefined) return { kind: 'hook', key: hook.key };
    const { id: approvalId, rules: _, origin, ...details } = asked;
    const { run, path } = whereOf(origin, { ...hook, id: hook.run, tool: details.tool });
    const isInner = run !== ofRun || (origin?.agent ?? null) !== null;
    const { needed, responders: answers } = hook;
    return { kind: 'approval', approvalId, ...details, run, path, isInner, needed, answers };
  }
  if (hook.kind === 'question') {
    const asked = unlessCorrupt(() => readQuestionDetails(hook));
    if (asked === undefined) return { kind: 'hook', key: hook.key };
    const { id: questionId, ...details } = asked;
    return { kind: 'question', questionId, ...details };
  }
  const call = clientToolOf(hook);
  if (call === undefined) return { kind: 'hook', key: hook.key };
  const { toolCallId, tool, input } = call;
  return { kind: 'client-tool', toolCallId, tool, input };
}

export function unlessCorrupt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (DurableError.is(error, 'value_corrupt')) return undefined;
    throw error;
  }
}
