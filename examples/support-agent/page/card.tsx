import type { ReactNode } from 'react';
import { useId } from 'react';
import { useTimeLeft } from './time-left.ts';

export interface CardProps {
  eyebrow: string;
  title: string;
  why?: string | undefined;
  expiresAt: number | null;
  failure: string | undefined;
  /** What a colleague has got by mail. */
  link?: string | undefined;
  hint: string;
  children: ReactNode;
  /** For whoever looks for it in the page. */
  mark: Record<`data-${string}`, string>;
}

/** Something that a person has to answer. */
export function Card({ eyebrow, title, why, expiresAt, failure, link, hint, children, mark }: CardProps) {
  const id = useId();
  const left = useTimeLeft(expiresAt);
  return (
    <section className="approval" aria-labelledby={id} {...mark}>
      <p className="eyebrow">
        {eyebrow}
        {left !== undefined && <span className="time-left">{left}</span>}
      </p>
      <h2 id={id}>{title}</h2>
      {why !== undefined && <p className="approval-why">{why}</p>}
      {children}
      {failure !== undefined && (
        <p className="problem" role="alert">
          {failure}
        </p>
      )}
      <p className="hint">
        {hint}
        {link !== undefined && (
          <>
            {' '}
            A colleague has got a link by mail, which decides without this page:{' '}
            <a href={link} target="_blank" rel="noreferrer">
              open it
            </a>
            .
          </>
        )}
      </p>
    </section>
  );
}
