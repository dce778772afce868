/** What the link to an approval leads to: the question and its form, or what has become of it. */

import type { Approval } from '../app/approval-record.ts';
import type { OpenedLink } from '../app/approval-links.ts';
import { timeText } from './approval-html.ts';
import type { Page } from './approval-html.ts';

/** What a link shows that is not used: whoever opens it decides nothing. */
export function linkPage(link: OpenedLink): Page {
  const { approval, action, to, isExpired, isRevoked } = link;
  const { tool, status, needed, answers } = approval;
  if (isRevoked)
    return { status: 410, title: 'This link was taken back', said: 'Ask whoever sent it for another one.' };
  if (status !== 'pending') return { ...decidedPage(approval), status: 200 };
  if (isExpired)
    return { status: 410, title: 'This link has expired', said: 'The approval still waits for an answer.' };
  const own = answers.find(({ by }) => by === to);
  if (own !== undefined)
    return { status: 200, title: 'You have approved', said: `${answers.length} of ${needed} people have.`, approval };
  if (action === 'view') return { status: 200, title: `${tool} waits for an answer`, approval };
  const said = `You answer as ${to}.`;
  if (approval.question === 'in-doubt') {
    const kind = action === 'approve' ? 'settle' : 'fail';
    return { status: 200, title: approval.prompt ?? `Did ${tool} take effect?`, said, approval, form: { kind } };
  }
  if (approval.question === 'budget') {
    const [title, kind] =
      action === 'approve' ? (['Raise the budget?', 'raise'] as const) : (['Stop the run?', 'stop'] as const);
    return { status: 200, title, said, approval, form: { kind } };
  }
  const verb = action === 'approve' ? 'Approve' : 'Deny';
  return { status: 200, title: `${verb} ${tool}?`, said, approval, form: { kind: action } };
}

/** The same page once more, with what was sent and why it was not taken. */
export function refusedPage(link: OpenedLink, given: { problem: string; result: string }): Page {
  const { form, ...page } = linkPage(link);
  return { ...page, status: 422, ...(form === undefined ? {} : { form: { ...form, ...given } }) };
}

/** What has become of the approval: who decided, and when. */
export function decidedPage(approval: Approval): Page {
  const said = whoSaid(approval);
  const title =
    (approval.question === 'in-doubt' ? DOUBT_TITLES[approval.status] : undefined) ?? TITLES[approval.status];
  return { status: 409, title, approval, ...(said === undefined ? {} : { said }) };
}

function whoSaid({ status, answers, needed, question }: Approval): string | undefined {
  if (status === 'pending') return `${answers.length} of ${needed} people have approved.`;
  const [yes, no] = question === 'in-doubt' ? ['answered', 'gave it up'] : ['approved', 'denied'];
  const by = answers.map((answer) => `${answer.by} (${answer.approved ? yes : no} ${timeText(answer.at)})`);
  return by.length === 0 || status === 'expired' ? WITHOUT_ANSWER[status] : `By ${by.join(', ')}.`;
}

const TITLES: Record<Approval['status'], string> = {
  pending: 'Your answer is recorded',
  approved: 'This was approved',
  denied: 'This was denied',
  expired: 'This has expired',
  closed: 'This is not open any more',
};

const DOUBT_TITLES: Partial<Record<Approval['status'], string>> = {
  approved: 'This is settled',
  denied: 'This was given up',
};

const WITHOUT_ANSWER: Partial<Record<Approval['status'], string>> = {
  expired: 'It was not decided in time.',
  closed: 'What asked for it has ended.',
};
