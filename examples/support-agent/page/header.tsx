import { useState } from 'react';
import type { Server } from './server-state.ts';

export interface HeaderProps {
  server: Server;
  onNewChat: () => void;
  isPanelOpen: boolean;
  onTogglePanel: () => void;
}

export function Header({ server, onNewChat, isPanelOpen, onTogglePanel }: HeaderProps) {
  return (
    <header className="header">
      <h1 className="brand">
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <path d="M27 16a11 11 0 1 1-4-8.5" />
          <circle cx="25" cy="9" r="4" />
        </svg>
        everturn <span className="brand-rest">support agent</span>
      </h1>
      <ServerSign server={server} />
      <nav className="header-actions" aria-label="Demo">
        <button
          type="button"
          className="button panel-toggle"
          aria-expanded={isPanelOpen}
          aria-controls="run-panel"
          onClick={onTogglePanel}
        >
          Run
        </button>
        <button type="button" className="button" onClick={onNewChat}>
          New<span className="wide"> chat</span>
        </button>
        <KillButton server={server} />
      </nav>
    </header>
  );
}

function ServerSign({ server }: { server: Server }) {
  const { state, isUp } = server;
  if (!isUp) {
    return (
      <p className="server-sign is-down">
        <i aria-hidden="true" /> server gone
      </p>
    );
  }
  if (state === undefined) return <p className="server-sign" />;
  return (
    <p className="server-sign" data-life={state.life}>
      <i aria-hidden="true" />
      <span>server process {state.life}</span>
      <span className="wide mono faint">pid {state.pid}</span>
    </p>
  );
}

function KillButton({ server }: { server: Server }) {
  const [isKilling, setKilling] = useState(false);
  const kill = async (): Promise<void> => {
    setKilling(true);
    await server.kill();
    setKilling(false);
  };
  return (
    <button
      type="button"
      className="button is-danger"
      disabled={!server.isUp || isKilling}
      title="SIGKILL, as kill -9 does"
      onClick={() => void kill()}
    >
      Kill<span className="wide"> the server</span>
    </button>
  );
}
