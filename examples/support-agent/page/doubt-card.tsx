import type { PendingApproval } from 'everturn/react';
import { useState } from 'react';
import { Card } from './card.tsx';
import { useDecision } from './decision.ts';
import { ReasonForm } from './reason-form.tsx';

export interface DoubtCardProps {
  approval: PendingApproval;
  /** What a colleague has got by mail. */
  link: string | undefined;
}

/** A call whose process died before its result was recorded: only a person can say what became of it. */
export function DoubtCard({ approval, link }: DoubtCardProps) {
  const [form, setForm] = useState<'happened' | 'unknown'>();
  const { isBusy, failure, decide } = useDecision();
  const back = (): void => setForm(undefined);
  return (
    <Card
      eyebrow="In doubt: its process died meanwhile"
      title={approval.prompt ?? `Did ${approval.tool} happen?`}
      why="Nobody here can know. Look at the bookings under “Outside”, then say what became of it."
      expiresAt={approval.expiresAt}
      failure={failure}
      link={link}
      hint="If it runs again it has the same idempotency key: a company that knows the key books no second courier."
      mark={{ 'data-doubt': approval.id }}
    >
      {form === undefined && (
        <div className="actions">
          <button
            type="button"
            className="button is-primary"
            disabled={isBusy}
            onClick={() => void decide(() => approval.approve())}
          >
            {isBusy ? 'Sending …' : 'Run it again'}
          </button>
          <button type="button" className="button" disabled={isBusy} onClick={() => setForm('happened')}>
            It happened
          </button>
          <button type="button" className="button" disabled={isBusy} onClick={() => setForm('unknown')}>
            Let it fail
          </button>
        </div>
      )}
      {form === 'happened' && (
        <ReasonForm
          label="Number of the booking. The agent is told."
          button="It happened"
          isRequired
          isBusy={isBusy}
          onBack={back}
          onSend={(courier) => void decide(() => approval.approve({ result: { courier } }))}
        />
      )}
      {form === 'unknown' && (
        <ReasonForm
          label="What should the agent know?"
          button="Let it fail"
          isDanger
          isBusy={isBusy}
          onBack={back}
          onSend={(reason) => void decide(() => approval.deny(reason === '' ? {} : { reason }))}
        />
      )}
    </Card>
  );
}
