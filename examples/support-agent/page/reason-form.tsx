import { useEffect, useId, useRef, useState } from 'react';

export interface ReasonFormProps {
  label: string;
  button: string;
  isBusy: boolean;
  onBack: () => void;
  onSend: (text: string) => void;
  isDanger?: boolean;
  isRequired?: boolean;
}

/** One line of text, and the way back. */
export function ReasonForm({ label, button, isBusy, onBack, onSend, isDanger, isRequired }: ReasonFormProps) {
  const [text, setText] = useState('');
  const field = useRef<HTMLInputElement>(null);
  const id = useId();
  useEffect(() => field.current?.focus(), []);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onSend(text.trim());
      }}
      onKeyDown={(event) => {
        if (event.key === 'Escape') onBack();
      }}
    >
      <div className="field">
        <label htmlFor={id}>{label}</label>
        <input
          ref={field}
          id={id}
          autoComplete="off"
          required={isRequired}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      </div>
      <div className="actions">
        <button type="submit" className={`button ${isDanger === true ? 'is-danger' : 'is-primary'}`} disabled={isBusy}>
          {button}
        </button>
        <button type="button" className="button" disabled={isBusy} onClick={onBack}>
          Back
        </button>
      </div>
    </form>
  );
}
