/** What a person decides on the page: one thing at a time, and what became of it. */
import { useState } from 'react';

export interface Decision {
  isBusy: boolean;
  failure: string | undefined;
  decide(work: () => Promise<void>): Promise<void>;
}

/** The card goes away by itself; the focus goes where the person writes. */
export function useDecision(): Decision {
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string>();
  const decide = async (work: () => Promise<void>): Promise<void> => {
    setBusy(true);
    setFailure(undefined);
    try {
      await work();
      document.getElementById('message')?.focus();
    } catch (error) {
      setFailure(error instanceof Error ? error.message.replace(/ \(docs\/[^)]*\)$/, '') : String(error));
      setBusy(false);
    }
  };
  return { isBusy, failure, decide };
}
