/** The page: the conversation, and beside it what the run is and was. */
import { useDurableAgent } from 'everturn/react';
import { StrictMode, useCallback, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { Composer } from './composer.tsx';
import { Conversation } from './conversation.tsx';
import { Header } from './header.tsx';
import { announcementOf } from './announcement.ts';
import { RunPanel } from './run-panel.tsx';
import { useRunFacts } from './run-facts.ts';
import { useServer } from './server-state.ts';

const REMEMBERED = 'everturn-demo-chat';

/** From the address, else the last one of this browser: a second tab shows the same. */
function chatOf(location: Location): string {
  const chat = new URLSearchParams(location.search).get('chat') ?? localStorage.getItem(REMEMBERED) ?? newChat();
  show(chat);
  return chat;
}

function newChat(): string {
  return `chat-${crypto.randomUUID().slice(0, 8)}`;
}

function show(chat: string): void {
  localStorage.setItem(REMEMBERED, chat);
  history.replaceState(null, '', `?chat=${encodeURIComponent(chat)}`);
}

function App() {
  const [chat, setChat] = useState(() => chatOf(window.location));
  const startAnew = useCallback(() => {
    const next = newChat();
    show(next);
    setChat(next);
  }, []);
  return <Page key={chat} chat={chat} onNewChat={startAnew} />;
}

function Page({ chat, onNewChat }: { chat: string; onNewChat: () => void }) {
  const agent = useDurableAgent({ id: chat });
  const server = useServer(agent.run !== null);
  const facts = useRunFacts(agent);
  const [isPanelOpen, setPanelOpen] = useState(false);
  const { status, messages } = agent;
  useEffect(() => {
    const name = messages.length === 0 ? 'support agent' : status;
    document.title = `${status === 'waiting' ? '◆ ' : ''}everturn · ${name}`;
  }, [status, messages.length]);
  return (
    <div className="page">
      <a className="skip" href="#message">
        Skip to the message
      </a>
      <Header
        server={server}
        onNewChat={onNewChat}
        isPanelOpen={isPanelOpen}
        onTogglePanel={() => setPanelOpen(!isPanelOpen)}
      />
      <main className="chat" aria-label="Conversation">
        <Conversation agent={agent} server={server} />
        <Composer agent={agent} />
      </main>
      <RunPanel agent={agent} facts={facts} server={server} isOpen={isPanelOpen} />
      <p className="hidden" role="status">
        {announcementOf(agent, server)}
      </p>
    </div>
  );
}

const root = document.getElementById('root');
if (root !== null) {
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}
