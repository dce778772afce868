import { isToolUIPart } from 'ai';
import type { UIMessage } from 'ai';
import type { DurableAgentHelpers } from 'everturn/react';
import { useEffect, useRef } from 'react';
import { Streamdown } from 'streamdown';
import { goneNotice } from './announcement.ts';
import { OtherCards } from './open-card.tsx';
import type { Server } from './server-state.ts';
import { ToolCall } from './tool-call.tsx';

interface Suggestion {
  /** What it shows. */
  shows: string;
  text: string;
}

const SUGGESTIONS: readonly Suggestion[] = [
  {
    shows: 'An approval, and any number of kills.',
    text: 'Hello, the kettle of my order 1042 arrived broken. Can I have my money back?',
  },
  {
    shows: 'An approval that expires after 25 seconds.',
    text: 'My kitchen scale, order 1023, came ten days late. Do I get a voucher?',
  },
  {
    shows: 'A question that a tool asks you.',
    text: 'The apron of order 1017 has the wrong colour. Can you exchange it?',
  },
  {
    shows: 'A call in doubt. Kill the server while it books.',
    text: 'Please have the toaster of order 1005 picked up for repair.',
  },
  {
    shows: 'A budget that stops a run, and asks.',
    text: 'Did all of my orders from 1101 to 1108 arrive? Check each of them.',
  },
];

export interface ConversationProps {
  agent: DurableAgentHelpers;
  server: Server;
}

export function Conversation({ agent, server }: ConversationProps) {
  const { messages, status, queued, error, isLoaded } = agent;
  const end = useFollowedEnd(agent, server);
  return (
    <div className="conversation" data-status={status} role="group" aria-label="Messages" tabIndex={0}>
      <div className="messages">
        {isLoaded && messages.length === 0 && <Welcome agent={agent} />}
        {messages.map((message) => (
          <Message
            key={message.id}
            message={message}
            agent={agent}
            server={server}
            isOpen={message.id === agent.run?.messageId}
          />
        ))}
        <OtherCards agent={agent} server={server} />
        {status === 'submitted' && server.isUp && <Thinking />}
        {!server.isUp && <p className="notice is-down">{goneNotice(agent)}</p>}
        {queued.map(({ message }) => (
          <div className="message is-user is-queued" key={message.id}>
            <p className="bubble">{textOf(message)}</p>
            <p className="hint">
              Sent after this answer.{' '}
              <button type="button" className="link" onClick={() => agent.experimental_removeQueuedMessage(message.id)}>
                Take back
              </button>
            </p>
          </div>
        ))}
        {error !== undefined && server.isUp && (
          <p className="notice is-error" role="alert">
            {error.message}{' '}
            <button type="button" className="link" onClick={() => agent.clearError()}>
              Dismiss
            </button>
          </p>
        )}
        <div ref={end} className="end" />
      </div>
    </div>
  );
}

function Welcome({ agent }: { agent: DurableAgentHelpers }) {
  return (
    <section className="welcome">
      <h2>Go ahead, kill it.</h2>
      <p>
        This agent looks orders up, refunds, and writes to customers. Each turn and each tool call is recorded, so you
        may kill its server at any moment: it goes on where it was, says nothing twice, and pays nothing twice.
      </p>
      <ul className="suggestions" aria-label="Something to begin with">
        {SUGGESTIONS.map(({ shows, text }) => (
          <li key={text}>
            <button type="button" onClick={() => void agent.sendMessage({ text })}>
              <small>{shows}</small>
              {text}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

interface MessageProps {
  message: UIMessage;
  agent: DurableAgentHelpers;
  server: Server;
  isOpen: boolean;
}

function Message({ message, agent, server, isOpen }: MessageProps) {
  if (message.role === 'user') {
    return (
      <div className="message is-user">
        <span className="hidden">You: </span>
        <p className="bubble">{textOf(message)}</p>
      </div>
    );
  }
  const isWriting = isOpen && agent.status === 'streaming';
  return (
    <article className="message is-agent" aria-label="Agent" aria-busy={isWriting} data-message={message.id}>
      {message.parts.map((part, index) => {
        // Parts keep their place.
        const key = `${index}`;
        if (part.type === 'text') {
          const isLast = isWriting && index === message.parts.length - 1;
          return (
            <div className={isLast ? 'text is-writing' : 'text'} key={key}>
              <Streamdown mode="streaming" controls={false}>
                {part.text}
              </Streamdown>
            </div>
          );
        }
        return isToolUIPart(part) ? (
          <ToolCall key={part.toolCallId} part={part} agent={agent} server={server} isActive={isOpen} />
        ) : null;
      })}
    </article>
  );
}

function Thinking() {
  return (
    <p className="thinking" aria-hidden="true">
      <i />
      <i />
      <i />
    </p>
  );
}

function textOf({ parts }: UIMessage): string {
  return parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
}

/** Keeps the end in sight, unless the person has scrolled away from it. */
function useFollowedEnd({ messages, status, queued, approvals, questions }: DurableAgentHelpers, server: Server) {
  const { isUp, state } = server;
  const end = useRef<HTMLDivElement>(null);
  const isNear = useRef(true);
  useEffect(() => {
    const scroller = end.current?.closest('.conversation');
    if (scroller == null) return undefined;
    const look = (): void => {
      isNear.current = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 120;
    };
    scroller.addEventListener('scroll', look, { passive: true });
    return () => scroller.removeEventListener('scroll', look);
  }, []);
  useEffect(() => {
    if (isNear.current) end.current?.scrollIntoView({ block: 'end' });
  }, [messages, status, queued, approvals, questions, isUp, state?.links.length]);
  return end;
}
