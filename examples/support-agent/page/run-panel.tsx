import type { DurableAgentHelpers } from 'everturn/react';
import type { Row, RunFacts } from './run-facts.ts';
import type { Server } from './server-state.ts';

const BOOKED = { parcel: 'Parcel', courier: 'Courier', voucher: 'Voucher' } as const;

const STATES: Record<string, string> = {
  submitted: 'at work',
  streaming: 'writing',
  waiting: 'waits for a person',
  ready: 'at rest',
  error: 'in trouble',
};

export interface RunPanelProps {
  agent: DurableAgentHelpers;
  facts: RunFacts;
  server: Server;
  /** On small screens. */
  isOpen: boolean;
}

export function RunPanel({ agent, facts, server, isOpen }: RunPanelProps) {
  const { runId, rows } = facts;
  const state = server.isUp ? (STATES[agent.status] ?? agent.status) : 'server gone';
  return (
    <aside id="run-panel" className={isOpen ? 'panel is-open' : 'panel'} aria-label="The run">
      <header className="panel-head">
        <h2>Run</h2>
        <p className={`state is-${server.isUp ? agent.status : 'down'}`}>{state}</p>
      </header>
      <dl className="numbers">
        <Figure name="turns" value={facts.turns} />
        <Figure name="tools" value={facts.tools} />
        <Figure name="attempts" value={facts.attempts} />
        <Figure name="tokens" value={facts.tokens} />
      </dl>
      {rows.length === 0 ? (
        <p className="faint">Nothing recorded yet. What happens appears here as it is written to the journal.</p>
      ) : (
        <ol className="journal" aria-label="Journal">
          {rows.map((row) => (
            <JournalRow key={row.key} row={row} />
          ))}
        </ol>
      )}
      <Books server={server} />
      {runId !== undefined && <p className="mono faint run-id">{runId}</p>}
    </aside>
  );
}

function Figure({ name, value }: { name: string; value: number }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value.toLocaleString('en')}</dd>
    </div>
  );
}

function JournalRow({ row }: { row: Row }) {
  const { kind, name, detail, attempt, state } = row;
  return (
    <li className={`row is-${kind} is-${state}`}>
      <i className="mark" aria-hidden="true" />
      <span className={kind === 'tool' ? 'mono' : ''}>{name}</span>
      {attempt > 1 && <span className="again">attempt {attempt}</span>}
      <span className="row-detail">{detail}</span>
    </li>
  );
}

/** What happened outside of the run: the part that must not happen twice. */
function Books({ server: { state, outageMs } }: { server: Server }) {
  if (state === undefined) return null;
  const { shop, modelRequests, life } = state;
  const paid = shop.refunds.reduce((sum, { amount }) => sum + amount, 0);
  return (
    <section className="books" aria-labelledby="books">
      <h2 id="books">Outside</h2>
      <dl>
        <div>
          <dt>Refunds paid</dt>
          <dd>{shop.refunds.length === 0 ? 'none' : `${shop.refunds.length} · ${paid.toFixed(2)} EUR`}</dd>
        </div>
        {shop.bookings.map(({ kind, detail, number }) => (
          <div key={number}>
            <dt>{BOOKED[kind]}</dt>
            <dd>
              {number} · {detail}
            </dd>
          </div>
        ))}
        <div>
          <dt>Messages sent</dt>
          <dd>{shop.messages}</dd>
        </div>
        {modelRequests !== undefined && (
          <div>
            <dt>Model asked</dt>
            <dd>{modelRequests}×</dd>
          </div>
        )}
        <div>
          <dt>Servers killed</dt>
          <dd>
            {life - 1}
            {outageMs !== undefined && <span className="faint"> · back after {(outageMs / 1000).toFixed(1)} s</span>}
          </dd>
        </div>
      </dl>
    </section>
  );
}
