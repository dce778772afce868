import { getToolName } from 'ai';
import type { DynamicToolUIPart, ToolUIPart } from 'ai';
import type { DurableAgentHelpers } from 'everturn/react';
import { OpenCard } from './open-card.tsx';
import { QuestionCard } from './question-card.tsx';
import type { Server } from './server-state.ts';

type Part = ToolUIPart | DynamicToolUIPart;

const TITLES: Record<string, string> = {
  searchOrders: 'Search orders',
  readOrder: 'Read order',
  refund: 'Refund',
  giveVoucher: 'Voucher',
  exchange: 'Exchange',
  bookCourier: 'Book courier',
  sendMessage: 'Send message',
};

export interface ToolCallProps {
  part: Part;
  agent: DurableAgentHelpers;
  server: Server;
  /** Its run goes on. */
  isActive: boolean;
}

export function ToolCall({ part, agent, server, isActive }: ToolCallProps) {
  const approval = agent.approvals.find(({ toolCallId }) => toolCallId === part.toolCallId);
  if (approval !== undefined) return <OpenCard approval={approval} server={server} />;
  const question = agent.questions.find(({ toolCallId }) => toolCallId === part.toolCallId);
  if (question !== undefined) return <QuestionCard question={question} />;
  return <Call part={part} run={{ isActive, isWaiting: agent.status === 'waiting' }} />;
}

interface RunState {
  isActive: boolean;
  /** For a person: what has not ended has not begun, or cannot go on. */
  isWaiting: boolean;
}

function Call({ part, run }: { part: Part; run: RunState }) {
  const name = getToolName(part);
  const state = stateOf(part, run);
  return (
    <details className={`tool is-${state.kind}`} data-tool={name} data-state={part.state}>
      <summary>
        <i className="mark" aria-hidden="true" />
        <span className="tool-name">{TITLES[name] ?? name}</span>
        <span className="tool-brief">{briefOf(part)}</span>
        <span className="tool-state">{state.text}</span>
      </summary>
      <div className="tool-body">
        <h3>Input</h3>
        <Fields value={part.input} />
        {part.state === 'output-available' && (
          <>
            <h3>Result</h3>
            <Fields value={part.output} />
          </>
        )}
        {part.state === 'output-error' && (
          <>
            <h3>Error</h3>
            <p>{part.errorText}</p>
          </>
        )}
        <p className="mono faint">{part.toolCallId}</p>
      </div>
    </details>
  );
}

interface CallState {
  kind: 'open' | 'held' | 'done' | 'denied' | 'expired' | 'failed' | 'cut';
  text: string;
}

function stateOf(part: Part, run: RunState): CallState {
  switch (part.state) {
    case 'output-available':
      return { kind: 'done', text: 'approval' in part && part.approval !== undefined ? 'approved, done' : 'done' };
    case 'output-denied': {
      const reason = part.approval?.reason;
      return { kind: 'denied', text: reason === undefined ? 'denied' : `denied: ${reason}` };
    }
    case 'output-error':
      if (part.errorText.includes('not given in time'))
        return { kind: 'expired', text: 'expired: nobody answered in time' };
      return { kind: 'failed', text: 'failed' };
    default:
      if (!run.isActive) return { kind: 'cut', text: 'stopped' };
      if (run.isWaiting) return { kind: 'held', text: 'waits for a person' };
      return { kind: 'open', text: part.state === 'input-streaming' ? 'being written' : 'running' };
  }
}

/** What matters of the input, in a few words. */
function briefOf({ input, state, output }: Part): string {
  const fields = (input ?? {}) as { orderId?: number; amount?: number; text?: string; item?: string };
  const paid = state === 'output-available' ? (output as { refunded?: unknown } | null)?.refunded : undefined;
  const { orderId, amount: asked, text = '' } = fields;
  const amount = paid ?? asked;
  if (typeof amount === 'number') {
    const instead = typeof asked === 'number' && asked !== amount ? ` instead of ${asked.toFixed(2)}` : '';
    return `${amount.toFixed(2)} EUR${instead}, order ${orderId}`;
  }
  return orderId === undefined ? text : `${fields.item === undefined ? '' : `${fields.item}, `}order ${orderId}`;
}

function Fields({ value }: { value: unknown }) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return <pre>{typeof value === 'string' ? value : JSON.stringify(value, null, 2)}</pre>;
  }
  return (
    <dl>
      {Object.entries(value).map(([name, field]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{typeof field === 'string' ? field : JSON.stringify(field)}</dd>
        </div>
      ))}
    </dl>
  );
}
