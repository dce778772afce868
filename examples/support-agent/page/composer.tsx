import type { DurableAgentHelpers } from 'everturn/react';
import { useRef, useState } from 'react';

export function Composer({ agent }: { agent: DurableAgentHelpers }) {
  const [text, setText] = useState('');
  const [isStopping, setStopping] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const isActive = agent.run !== null || agent.status === 'submitted';
  const send = (): void => {
    if (text.trim() === '') return;
    setText('');
    void agent.sendMessage({ text: text.trim() }, { whenBusy: 'queue' });
  };
  const stop = async (): Promise<void> => {
    setStopping(true);
    await agent.stop();
    setStopping(false);
    document.getElementById('message')?.focus();
  };
  return (
    <form
      ref={form}
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <label className="hidden" htmlFor="message">
        Your message
      </label>
      <textarea
        id="message"
        rows={1}
        placeholder={isActive ? 'Your next message' : 'Write to the agent'}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
          event.preventDefault();
          form.current?.requestSubmit();
        }}
      />
      {isActive && (
        <button type="button" className="button is-stop" disabled={isStopping} onClick={() => void stop()}>
          <i aria-hidden="true" /> Stop
        </button>
      )}
      {(!isActive || text.trim() !== '') && (
        <button type="submit" className="button is-primary" disabled={text.trim() === ''}>
          Send
        </button>
      )}
    </form>
  );
}
