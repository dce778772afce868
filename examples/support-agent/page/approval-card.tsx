import type { PendingApproval } from 'everturn/react';
import { useEffect, useId, useRef, useState } from 'react';
import { flushSync } from 'react-dom';

interface RefundInput {
  orderId: number;
  amount: number;
  reason: string;
}

/** Asks a person about a refund. Whatever tab decides, all of them see it. */
export function ApprovalCard({ approval }: { approval: PendingApproval }) {
  const input = approval.input as RefundInput;
  const [amount, setAmount] = useState(input.amount.toFixed(2));
  const [isDenying, setDenying] = useState(false);
  const denyButton = useRef<HTMLButtonElement>(null);
  const { isBusy, failure, decide } = useDecision();
  const ids = { title: useId(), amount: useId(), problem: useId() };
  const asked = Number(amount);
  const isChanged = asked !== input.amount;
  const problem = !(asked > 0 && asked <= input.amount) ? `Between 0.01 and ${input.amount.toFixed(2)}.` : undefined;
  const approve = (): void => {
    if (problem !== undefined) return;
    void decide(() => (isChanged ? approval.edit({ ...input, amount: asked }) : approval.approve()));
  };
  return (
    <section className="approval" aria-labelledby={ids.title} data-approval={approval.id}>
      <p className="eyebrow">Waits for you</p>
      <h2 id={ids.title}>Refund {input.amount.toFixed(2)} EUR?</h2>
      <p className="approval-why">
        Order {input.orderId} · {input.reason}
      </p>
      {isDenying ? (
        <DenyForm
          isBusy={isBusy}
          onBack={() => {
            flushSync(() => setDenying(false));
            denyButton.current?.focus();
          }}
          onDeny={(reason) => void decide(() => approval.deny(reason === '' ? {} : { reason }))}
        />
      ) : (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            approve();
          }}
        >
          <div className="field">
            <label htmlFor={ids.amount}>Amount</label>
            <span className="amount">
              <input
                id={ids.amount}
                inputMode="decimal"
                autoComplete="off"
                value={amount}
                aria-invalid={problem !== undefined}
                aria-describedby={ids.problem}
                onChange={(event) => setAmount(event.target.value)}
              />
              <span aria-hidden="true">EUR</span>
            </span>
            <span className="problem" id={ids.problem}>
              {problem}
            </span>
          </div>
          <div className="actions">
            <button type="submit" className="button is-primary" disabled={isBusy || problem !== undefined}>
              {approveLabel({ isBusy, amount: isChanged && problem === undefined ? asked : undefined })}
            </button>
            <button
              ref={denyButton}
              type="button"
              className="button"
              disabled={isBusy}
              onClick={() => setDenying(true)}
            >
              Deny
            </button>
          </div>
        </form>
      )}
      {failure !== undefined && (
        <p className="problem" role="alert">
          {failure}
        </p>
      )}
      <p className="hint">
        No process waits: this is a row in a database, and survives any number of restarts.
        {approval.expiresAt !== null && ` It waits until ${new Date(approval.expiresAt).toLocaleTimeString()}.`}
      </p>
    </section>
  );
}

function approveLabel({ isBusy, amount }: { isBusy: boolean; amount: number | undefined }): string {
  if (isBusy) return 'Approving …';
  return amount === undefined ? 'Approve' : `Approve ${amount.toFixed(2)} EUR`;
}

interface DenyFormProps {
  isBusy: boolean;
  onBack: () => void;
  onDeny: (reason: string) => void;
}

function DenyForm({ isBusy, onBack, onDeny }: DenyFormProps) {
  const [reason, setReason] = useState('');
  const field = useRef<HTMLInputElement>(null);
  const id = useId();
  useEffect(() => field.current?.focus(), []);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onDeny(reason.trim());
      }}
      onKeyDown={(event) => {
        if (event.key === 'Escape') onBack();
      }}
    >
      <div className="field">
        <label htmlFor={id}>Why not? The agent is told.</label>
        <input
          ref={field}
          id={id}
          autoComplete="off"
          value={reason}
          onChange={(event) => setReason(event.target.value)}
        />
      </div>
      <div className="actions">
        <button type="submit" className="button is-danger" disabled={isBusy}>
          {isBusy ? 'Denying …' : 'Deny the refund'}
        </button>
        <button type="button" className="button" disabled={isBusy} onClick={onBack}>
          Back
        </button>
      </div>
    </form>
  );
}

/** The card goes away by itself; the focus goes where the person writes. */
function useDecision() {
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string>();
  const decide = async (work: () => Promise<void>): Promise<void> => {
    setBusy(true);
    setFailure(undefined);
    try {
      await work();
      document.getElementById('message')?.focus();
    } catch (error) {
      setFailure(error instanceof Error ? error.message : String(error));
      setBusy(false);
    }
  };
  return { isBusy, failure, decide };
}
