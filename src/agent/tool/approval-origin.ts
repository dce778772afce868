/** Where an approval comes from that an agent below another one asks for: one that a tool calls, or a child run. */

import { decodeValue } from '../../runtime/codec.ts';
import type { RunContext } from '../../runtime/context.ts';
import { fromKeyPart } from '../../runtime/key-part.ts';
import type { Run } from '../../runtime/store.ts';
import type { StoredInput } from '../agent-input.ts';

export interface ApprovalOrigin {
  /** The run at the top, which nobody started as a child. */
  root: string;
  /** That run's thread. */
  thread: string | null;
  /** From the run at the top over the agents below it to the tool. */
  path: string[];
  /** The `id` of the agent that code of the run has called; null: it is the run's own. */
  agent: string | null;
  /** The child of the run at the top below which the run stands; null: it is the run at the top. */
  via: { run: string; key: string } | null;
}

/** How an approval is told of: with what is at the top of its run. */
export function whereOf(
  origin: ApprovalOrigin | null | undefined,
  call: Pick<Run, 'id' | 'workflow' | 'thread'> & { tool: string },
): { run: string; root: string; path: string[]; agent: string; thread: string | null } {
  const { id: run, workflow, thread, tool } = call;
  // Absent in what earlier releases have stored.
  if (origin == null) return { run, root: run, path: [workflow, tool], agent: workflow, thread };
  return { run, root: origin.root, path: origin.path, agent: origin.agent ?? workflow, thread: origin.thread };
}

/** Who has asked for what an agent asks about, and where that stands. */
export interface Descent {
  /** Null: it is asked by the agent of a run that nobody started as a child. */
  origin: ApprovalOrigin | null;
  /** Who started the run at the top; null if that is not known. */
  requestedBy: string | null;
  /** Who has spoken to it, and to the runs on the way, before they started what is below. */
  senders: string[];
}

interface Asking {
  /** Of the call. */
  key: string;
  tool: string;
  /** What the run's own agent knows. */
  own?: Pick<Descent, 'requestedBy' | 'senders'>;
}

const NOBODY: NonNullable<Asking['own']> = { requestedBy: null, senders: [] };

/** Not journaled: call it in a step's body. */
export async function descentOf(context: RunContext, { key, tool, own = NOBODY }: Asking): Promise<Descent> {
  const { run } = context;
  const agent = agentsIn(key).at(-1) ?? null;
  const here = new Set([...own.senders, ...(context.scope().place?.senders?.() ?? [])]);
  if (run.parent === null && agent === null) return { origin: null, requestedBy: own.requestedBy, senders: [...here] };
  const lineage = await context.lineage((each) => inputOf(each) !== null);
  const root = lineage.at(-1) ?? run;
  const names = lineage.map((each, below) => [
    each.workflow,
    ...agentsIn(below === 0 ? key : (lineage[below - 1]?.parent?.key ?? '')),
  ]);
  const started = lineage.map(startedBy).toReversed();
  const path = [...names.toReversed().flat(), tool];
  return {
    origin: { root: root.id, thread: root.thread, path, agent, via: lineage.at(-2)?.parent ?? null },
    requestedBy: started.find((by) => by !== null) ?? own.requestedBy,
    senders: [...new Set([...lineage.flatMap(({ senders }) => senders), ...here])],
  };
}

/** The ids of the agents that code has called around a key, outermost first; segments of a run's own agent have none. */
function agentsIn(key: string): string[] {
  return [...key.matchAll(/(?:^|\/)agent:([^/#]+)/g)].map(([, id]) => fromKeyPart(id ?? ''));
}

function startedBy(run: Run): string | null {
  const by = inputOf(run)?.by;
  return typeof by === 'string' ? by : null;
}

/** Null for runs of plain workflows: what stands in their input is theirs. */
function inputOf({ input }: Run): StoredInput | null {
  const given = (decodeValue(input) ?? {}) as Partial<StoredInput>;
  return Array.isArray(given.messages) ? (given as StoredInput) : null;
}
