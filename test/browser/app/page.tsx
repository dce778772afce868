/** A page with nothing but what a test looks at: `?id=thread&client=durable|transport|stock`. */

import { useChat } from '@ai-sdk/react';
import { durableChatTransport } from 'everturn/client';
import type { ThreadHistory } from 'everturn/client';
import { useDurableAgent } from 'everturn/react';
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses } from 'ai';
import type { UIMessage } from 'ai';
import { StrictMode, useEffect, useRef, useState } from 'react';
import type { ReactElement } from 'react';
import { createRoot } from 'react-dom/client';

interface Shown {
  messages: UIMessage[];
  status: string;
  error: Error | undefined;
  sendMessage(message: { text: string }): Promise<void>;
  stop(): Promise<void>;
  approvals: ShownApproval[];
}

interface ShownApproval {
  id: string;
  input: unknown;
  approve(): unknown;
  deny(reason: string): unknown;
  /** Undefined where the client cannot. */
  edit: ((input: unknown) => unknown) | undefined;
}

const query = new URLSearchParams(location.search);
const id = query.get('id') ?? 't1';

function Durable(): ReactElement {
  const { approvals, ...agent } = useDurableAgent({ id });
  const shown = approvals.map(({ id, input, approve, deny, edit }) => ({
    id,
    input,
    approve,
    deny: (reason: string) => deny({ reason }),
    edit,
  }));
  return <Page {...agent} approvals={shown} />;
}

const durable = durableChatTransport();

function Chat({ initial: { messages, run }, kind }: { initial: ThreadHistory; kind: string }): ReactElement {
  const [stock] = useState(() => {
    // The run may end before the chat asks for its answer, which the history has left out.
    const missing = run !== null && !messages.some(({ id }) => id === run.messageId) ? run.id : undefined;
    const resumed = missing === undefined ? {} : { api: `/api/chat/${missing}/stream?startIndex=0` };
    return new DefaultChatTransport({ api: '/api/chat', prepareReconnectToStreamRequest: () => resumed });
  });
  const { addToolApprovalResponse, resumeStream, ...chat } = useChat({
    id,
    messages,
    transport: kind === 'stock' ? stock : durable,
    resume: true,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
  });
  const stop =
    kind === 'stock'
      ? async (): Promise<void> => void (await fetch(`/api/chat/${id}/stop`, { method: 'POST' }))
      : (): Promise<void> => durable.stop(id);
  const approvals = chat.messages.flatMap((message) =>
    message.parts.flatMap((part): ShownApproval[] => {
      if (!('approval' in part) || part.state !== 'approval-requested') return [];
      const approvalId = part.approval.id;
      return [
        {
          id: approvalId,
          input: part.input,
          approve: () => addToolApprovalResponse({ id: approvalId, approved: true }),
          deny: (reason) => addToolApprovalResponse({ id: approvalId, approved: false, reason }),
          edit:
            kind === 'stock'
              ? undefined
              : async (input) => {
                  await durable.approve(approvalId, { input });
                  await resumeStream();
                },
        },
      ];
    }),
  );
  return <Page {...chat} stop={stop} approvals={approvals} />;
}

/** The history is the server's: a page that uses `useChat` asks for it first. */
function LoadedChat({ kind }: { kind: string }): ReactElement {
  const [initial, setInitial] = useState<ThreadHistory>();
  useEffect(() => {
    void durable.history(id).then(setInitial);
  }, []);
  return initial === undefined ? <p>Loading</p> : <Chat initial={initial} kind={kind} />;
}

function Page({ messages, status, error, sendMessage, stop, approvals }: Shown): ReactElement {
  const input = useRef<HTMLInputElement>(null);
  return (
    <main data-status={status}>
      <ol>
        {messages.map((message) => (
          <li key={message.id} data-role={message.role}>
            {message.parts.map((part, index) =>
              part.type === 'text' ? <span key={index}>{part.text}</span> : <ToolCall key={index} part={part} />,
            )}
          </li>
        ))}
      </ol>
      {approvals.map(({ id, input, approve, deny, edit }) => (
        <article key={id}>
          <code>{JSON.stringify(input)}</code>
          <button onClick={() => void approve()}>Approve</button>
          <button onClick={() => void deny('too much')}>Deny</button>
          <button onClick={() => void edit?.({ amount: (input as { amount: number }).amount + 0.5 })}>Edit</button>
        </article>
      ))}
      <input aria-label="Message" ref={input} />
      <button onClick={() => void sendMessage({ text: input.current?.value ?? '' })}>Send</button>
      <button onClick={() => void stop()}>Stop</button>
      {error === undefined ? null : <p role="alert">{error.message}</p>}
    </main>
  );
}

function ToolCall({ part }: { part: UIMessage['parts'][number] }): ReactElement | null {
  if (!('toolCallId' in part)) return null;
  const { state, input, output } = part as { state: string; input?: unknown; output?: unknown };
  return <pre data-state={state}>{JSON.stringify({ input, output })}</pre>;
}

const root = document.querySelector('#root');
const client = query.get('client') ?? 'durable';
if (root !== null) {
  createRoot(root).render(<StrictMode>{client === 'durable' ? <Durable /> : <LoadedChat kind={client} />}</StrictMode>);
}
