import type { PendingApproval } from 'everturn/react';
import { useState } from 'react';
import { Card } from './card.tsx';
import { useDecision } from './decision.ts';
import { ReasonForm } from './reason-form.tsx';

export interface BudgetCardProps {
  approval: PendingApproval;
  /** What a colleague has got by mail. */
  link: string | undefined;
}

/** The run has used up what it may: it goes on with more, with another model, or not at all. */
export function BudgetCard({ approval, link }: BudgetCardProps) {
  const { crossed = [], proposed = {}, models = [] } = approval.budget ?? {};
  const [isStopping, setStopping] = useState(false);
  const { isBusy, failure, decide } = useDecision();
  const more = `${proposed['toolCalls'] ?? ''} more tool calls`;
  return (
    <Card
      eyebrow="Budget used up"
      title={`Let it make ${more}?`}
      why={crossed.map(({ of, used, allowed }) => `This ${of} has made ${used} of ${allowed} tool calls.`).join(' ')}
      expiresAt={approval.expiresAt}
      failure={failure}
      link={link}
      hint="A budget of tokens, dollars, tool calls, turns or time stops a run at its next boundary, and asks."
      mark={{ 'data-budget': approval.id }}
    >
      {isStopping ? (
        <ReasonForm
          label="Why? It is kept with the run."
          button="Stop the run"
          isDanger
          isBusy={isBusy}
          onBack={() => setStopping(false)}
          onSend={(reason) => void decide(() => approval.deny(reason === '' ? {} : { reason }))}
        />
      ) : (
        <div className="actions">
          <button
            type="button"
            className="button is-primary"
            disabled={isBusy}
            onClick={() => void decide(() => approval.approve())}
          >
            Allow {more}
          </button>
          {models.map((model) => (
            <button
              key={model}
              type="button"
              className="button"
              disabled={isBusy}
              onClick={() => void decide(() => approval.edit({ raise: proposed, model }))}
            >
              Allow them with {model}
            </button>
          ))}
          <button type="button" className="button" disabled={isBusy} onClick={() => setStopping(true)}>
            Stop here
          </button>
        </div>
      )}
    </Card>
  );
}
