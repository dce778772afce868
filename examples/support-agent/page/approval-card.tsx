import type { PendingApproval } from 'everturn/react';
import { useId, useRef, useState } from 'react';
import { flushSync } from 'react-dom';
import { Card } from './card.tsx';
import { useDecision } from './decision.ts';
import { ReasonForm } from './reason-form.tsx';

/** What the shop's approvals are about: money. */
interface PaidInput {
  orderId: number;
  amount: number;
  reason: string;
}

const NOUNS: Record<string, { title: string; noun: string }> = {
  refund: { title: 'Refund', noun: 'refund' },
  giveVoucher: { title: 'Give a voucher of', noun: 'voucher' },
};

export interface ApprovalCardProps {
  approval: PendingApproval;
  /** What a colleague has got by mail. */
  link: string | undefined;
}

/** Asks a person whether a call may run. Whatever tab decides, all of them see it. */
export function ApprovalCard({ approval, link }: ApprovalCardProps) {
  const input = approval.input as Partial<PaidInput> | null;
  const { title, noun } = NOUNS[approval.tool] ?? { title: '', noun: 'call' };
  const asked = typeof input?.amount === 'number' ? input.amount : undefined;
  const [isDenying, setDenying] = useState(false);
  const denyButton = useRef<HTMLButtonElement>(null);
  const { isBusy, failure, decide } = useDecision();
  return (
    <Card
      eyebrow="Waits for you"
      title={asked === undefined ? (approval.prompt ?? `Run ${approval.tool}?`) : `${title} ${asked.toFixed(2)} EUR?`}
      why={asked === undefined ? undefined : `Order ${input?.orderId} · ${input?.reason}`}
      expiresAt={approval.expiresAt}
      failure={failure}
      link={link}
      hint="No process waits: this is a row in a database, and survives any number of restarts."
      mark={{ 'data-approval': approval.id }}
    >
      {isDenying ? (
        <ReasonForm
          label="Why not? The agent is told."
          button={isBusy ? 'Denying …' : `Deny the ${noun}`}
          isDanger
          isBusy={isBusy}
          onBack={() => {
            flushSync(() => setDenying(false));
            denyButton.current?.focus();
          }}
          onSend={(reason) => void decide(() => approval.deny(reason === '' ? {} : { reason }))}
        />
      ) : (
        <ApproveForm
          asked={asked}
          isBusy={isBusy}
          onApprove={(amount) =>
            void decide(() => (amount === asked ? approval.approve() : approval.edit({ ...input, amount })))
          }
        >
          <button ref={denyButton} type="button" className="button" disabled={isBusy} onClick={() => setDenying(true)}>
            Deny
          </button>
        </ApproveForm>
      )}
    </Card>
  );
}

interface ApproveFormProps {
  /** Euros, where there are some; a person may approve less. */
  asked: number | undefined;
  isBusy: boolean;
  onApprove: (amount: number | undefined) => void;
  children: React.ReactNode;
}

function ApproveForm({ asked, isBusy, onApprove, children }: ApproveFormProps) {
  const [text, setText] = useState(asked?.toFixed(2) ?? '');
  const ids = { amount: useId(), problem: useId() };
  const amount = asked === undefined ? undefined : Number(text);
  const isTooMuch = amount !== undefined && !(amount > 0 && amount <= (asked ?? 0));
  const problem = isTooMuch ? `Between 0.01 and ${asked?.toFixed(2)}.` : undefined;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (problem === undefined) onApprove(amount);
      }}
    >
      {asked !== undefined && (
        <div className="field">
          <label htmlFor={ids.amount}>Amount</label>
          <span className="amount">
            <input
              id={ids.amount}
              inputMode="decimal"
              autoComplete="off"
              value={text}
              aria-invalid={problem !== undefined}
              aria-describedby={ids.problem}
              onChange={(event) => setText(event.target.value)}
            />
            <span aria-hidden="true">EUR</span>
          </span>
          <span className="problem" id={ids.problem}>
            {problem}
          </span>
        </div>
      )}
      <div className="actions">
        <button type="submit" className="button is-primary" disabled={isBusy || problem !== undefined}>
          {approveLabel({ isBusy, amount: amount === asked || problem !== undefined ? undefined : amount })}
        </button>
        {children}
      </div>
    </form>
  );
}

function approveLabel({ isBusy, amount }: { isBusy: boolean; amount: number | undefined }): string {
  if (isBusy) return 'Approving …';
  return amount === undefined ? 'Approve' : `Approve ${amount.toFixed(2)} EUR`;
}
