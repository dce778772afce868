'use client';

import { useDurableAgent } from 'everturn/react';
import { useState } from 'react';
import type { FormEvent, ReactNode } from 'react';

/** One thread for everybody. Yours has an id per conversation, in the URL for instance. */
const THREAD = 'trips';

export default function Page(): ReactNode {
  const { messages, status, approvals, error, sendMessage, stop } = useDurableAgent({ id: THREAD });
  const [text, setText] = useState('');
  const isBusy = status === 'submitted' || status === 'streaming';

  const send = (event: FormEvent): void => {
    event.preventDefault();
    if (text.trim() === '') return;
    void sendMessage({ text });
    setText('');
  };

  return (
    <main>
      <h1>Trips</h1>
      {messages.map((message) => (
        <article key={message.id} aria-label={message.role}>
          <strong>{message.role === 'user' ? 'You' : 'Agent'}</strong>
          {message.parts.map((part, index) => {
            if (part.type === 'text') return <p key={index}>{part.text}</p>;
            return part.type.startsWith('tool-') ? <p key={index}>⚙ {part.type.slice('tool-'.length)}</p> : null;
          })}
        </article>
      ))}
      {approvals.map((approval) => (
        <section key={approval.id} aria-label="approval">
          <p>
            May it {approval.tool} {JSON.stringify(approval.input)}?
          </p>
          <button onClick={() => void approval.approve()}>Approve</button>{' '}
          <button onClick={() => void approval.deny({ reason: 'Not now' })}>Deny</button>
        </section>
      ))}
      {error !== undefined && <p role="alert">{error.message}</p>}
      <form onSubmit={send}>
        <input aria-label="Message" value={text} onChange={(event) => setText(event.target.value)} />{' '}
        {isBusy ? <button onClick={() => void stop()}>Stop</button> : <button>Send</button>}
      </form>
    </main>
  );
}
