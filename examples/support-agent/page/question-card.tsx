import type { PendingQuestion } from 'everturn/react';
import { Card } from './card.tsx';
import { useDecision } from './decision.ts';

/** What a tool asks in the middle of its work. */
export function QuestionCard({ question }: { question: PendingQuestion }) {
  const { isBusy, failure, decide } = useDecision();
  return (
    <Card
      eyebrow="A question for you"
      title={question.prompt}
      expiresAt={question.expiresAt}
      failure={failure}
      hint="A tool asks this with one line of code, ask({ prompt, options }), and waits for the answer as a row in a database."
      mark={{ 'data-question': question.id }}
    >
      <div className="actions">
        {question.options?.map(({ value, label }) => (
          <button
            key={String(value)}
            type="button"
            className="button"
            disabled={isBusy}
            onClick={() => void decide(() => question.answer(value))}
          >
            {label}
          </button>
        ))}
      </div>
    </Card>
  );
}
