/** The last run's journal, as rows for the panel. */
import { isToolUIPart, getToolName } from 'ai';
import type { UIMessage } from 'ai';
import type { DurableAgentHelpers } from 'everturn/react';
import { useEffect, useMemo, useState } from 'react';

/** One line of the run's life. */
export interface Row {
  key: string;
  kind: 'turn' | 'tool' | 'crash' | 'decision' | 'end';
  name: string;
  detail: string;
  attempt: number;
  state: 'done' | 'failed' | 'cut' | 'running' | 'waiting';
}

export interface RunFacts {
  runId: string | undefined;
  rows: Row[];
  turns: number;
  tools: number;
  attempts: number;
  tokens: number;
}

interface JournalItem {
  seq: number;
  type: string;
  key: string;
  at: number;
  attempt?: number;
  meta?: Record<string, unknown>;
}

export function useRunFacts(agent: DurableAgentHelpers): RunFacts {
  const { messages, run, status } = agent;
  const answer = messages.findLast(({ role }) => role === 'assistant');
  const runId = run?.id ?? answer?.id.replace(/^msg_/, '');
  const journal = useJournal(runId, { isActive: run !== null, change: `${status} ${answer?.parts.length ?? 0}` });
  return useMemo(() => {
    const live = run === null || answer?.id !== run.messageId ? undefined : answer;
    return toFacts({ runId, journal, agent: { status, live, isActive: run !== null } });
  }, [runId, journal, status, answer, run]);
}

/** Read again whenever the page has seen something new, and while the run goes on. */
function useJournal(
  runId: string | undefined,
  { isActive, change }: { isActive: boolean; change: string },
): JournalItem[] | undefined {
  const [found, setFound] = useState<{ runId: string; journal: JournalItem[] }>();
  useEffect(() => {
    if (runId === undefined) return undefined;
    const controller = new AbortController();
    const look = async (): Promise<void> => {
      const journal = await readJournal(runId, controller.signal);
      if (journal !== undefined && !controller.signal.aborted) setFound({ runId, journal });
    };
    void look();
    const timer = isActive ? window.setInterval(() => void look(), 700) : undefined;
    return () => {
      controller.abort();
      window.clearInterval(timer);
    };
  }, [runId, isActive, change]);
  return found?.runId === runId ? found?.journal : undefined;
}

/** Undefined: the server is away, and the page keeps what it has. */
async function readJournal(runId: string, signal: AbortSignal): Promise<JournalItem[] | undefined> {
  try {
    const response = await fetch(`/api/runs/${encodeURIComponent(runId)}/events`, { signal });
    if (!response.ok) return undefined;
    const { items } = (await response.json()) as { items: JournalItem[] };
    return items;
  } catch {
    return undefined;
  }
}

interface Sight {
  runId: string | undefined;
  journal: JournalItem[] | undefined;
  agent: { status: string; live: UIMessage | undefined; isActive: boolean };
}

function toFacts({ runId, journal, agent }: Sight): RunFacts {
  const events = journal ?? [];
  const recorded = toRows(events);
  const turns = recorded.filter(({ kind }) => kind === 'turn').length;
  const rows = agent.isActive && runId !== undefined ? [...recorded, ...openRows(agent, turns)] : recorded;
  return {
    runId,
    rows,
    turns,
    tools: recorded.filter(({ kind }) => kind === 'tool').length,
    attempts: rows.reduce((sum, row) => sum + attemptsOf(row), 0),
    tokens: events.reduce((sum, event) => sum + tokensOf(event), 0),
  };
}

/** Events that say all with their names. */
const PLAIN: Record<string, Pick<Row, 'kind' | 'name'> & Partial<Row>> = {
  run_recovered: { kind: 'crash', name: 'Server lost, run taken over' },
  message_received: { kind: 'decision', name: 'A person answered' },
  run_completed: { kind: 'end', name: 'Run completed' },
  run_cancelled: { kind: 'end', name: 'Run stopped' },
  run_failed: { kind: 'end', name: 'Run failed', state: 'failed' },
};

function toRows(events: readonly JournalItem[]): Row[] {
  let turns = 0;
  return events.flatMap((event): Row[] => {
    const { type, seq, attempt, meta } = event;
    const base = {
      key: String(seq),
      detail: '',
      attempt: Number(attempt ?? meta?.['attempt'] ?? 1),
      state: 'done' as const,
    };
    switch (type) {
      case 'turn_completed':
        turns += 1;
        return [{ ...base, kind: 'turn', name: `Turn ${turns}`, detail: `${tokensOf(event)} tokens` }];
      case 'tool_completed':
        return [{ ...base, kind: 'tool', name: String(meta?.['tool']) }];
      case 'turn_failed':
        // Of a turn that was cut off, the crash above and the next attempt say enough.
        if (meta?.['outcome'] === 'unknown') return [];
        if (meta?.['outcome'] === 'aborted')
          return [{ ...base, kind: 'turn', name: `Turn ${turns + 1}`, detail: 'stopped', state: 'cut' }];
        return [{ ...base, kind: 'turn', name: `Turn ${turns + 1}`, detail: 'failed', state: 'failed' }];
      case 'tool_failed':
        return [{ ...base, kind: 'tool', name: String(meta?.['tool']), detail: 'failed', state: 'failed' }];
      case 'hook_closed':
        return meta?.['closed'] === true ? [{ ...base, kind: 'decision', name: 'Nobody answered in time' }] : [];
      default: {
        const plain = PLAIN[type];
        return plain === undefined ? [] : [{ ...base, ...plain }];
      }
    }
  });
}

/** What is going on and not in the journal yet. */
function openRows({ status, live }: Sight['agent'], turns: number): Row[] {
  const base = { detail: '', attempt: 1 };
  const open = (live?.parts ?? []).filter(isToolUIPart).filter(({ state }) => !state.startsWith('output-'));
  // In the middle of a call too: a question, or one about the call itself.
  if (open.length > 0) {
    return open.map((part): Row => {
      const waits = part.state === 'approval-requested' || status === 'waiting';
      return {
        ...base,
        key: part.toolCallId,
        kind: 'tool',
        name: getToolName(part),
        detail: waits ? 'waits for a person' : 'running',
        state: waits ? 'waiting' : 'running',
      };
    });
  }
  if (status === 'waiting') return [];
  return [{ ...base, key: 'open', kind: 'turn', name: `Turn ${turns + 1}`, detail: 'writing', state: 'running' }];
}

/** What waits has not been tried. */
function attemptsOf({ kind, state, attempt }: Row): number {
  return state !== 'waiting' && (kind === 'turn' || kind === 'tool') ? attempt : 0;
}

function tokensOf({ type, meta }: JournalItem): number {
  const usage = meta?.['usage'] as { inputTokens?: number; outputTokens?: number } | undefined;
  return type === 'turn_completed' ? (usage?.inputTokens ?? 0) + (usage?.outputTokens ?? 0) : 0;
}
