/** The page behind the link to an approval: one document without scripts, for any browser and mail client. */

import type { Approval } from '../app/approval-record.ts';
import type { OpenedLink } from '../app/approval-links.ts';
import { SAFE_HEADERS } from './http-error.ts';
import { toJson } from './json.ts';

export interface Page {
  status: number;
  title: string;
  /** Below the title. */
  said?: string;
  approval?: Approval;
  /** What the form does; none if there is nothing to do. */
  action?: 'approve' | 'deny';
}

const STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;color:#1c1c1e;background:#fff}' +
  'h1{font-size:1.4rem}dt{color:#666}dd{margin:0 0 .6rem}pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f5;padding:.8rem;border-radius:6px}' +
  'textarea{width:100%;padding:.5rem;min-height:5rem;font:inherit;box-sizing:border-box}button{font:inherit;padding:.6rem 1.4rem;border:0;border-radius:6px;background:#1d4ed8;color:#fff}' +
  'button.deny{background:#b91c1c}@media(prefers-color-scheme:dark){body{color:#e5e5e7;background:#18181b}pre{background:#27272a}dt{color:#a1a1aa}}';

/** The address is a secret: no page learns it, no cache keeps it, no frame shows it. */
const HEADERS: Readonly<Record<string, string>> = {
  ...SAFE_HEADERS,
  'content-type': 'text/html; charset=utf-8',
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'x-frame-options': 'DENY',
  'x-robots-tag': 'noindex, nofollow',
};

export function pageResponse(page: Page): Response {
  return new Response(toHtml(page), { status: page.status, headers: HEADERS });
}

/** What a link shows that is not used: whoever opens it decides nothing. */
export function linkPage(link: OpenedLink): Page {
  const { approval, action, to, isExpired } = link;
  const { tool, status, needed, answers } = approval;
  if (status !== 'pending') return { ...decidedPage(approval), status: 200 };
  if (isExpired)
    return { status: 410, title: 'This link has expired', said: 'The approval still waits for an answer.' };
  const own = answers.find(({ by }) => by === to);
  if (own !== undefined)
    return { status: 200, title: 'You have approved', said: `${answers.length} of ${needed} people have.`, approval };
  if (action === 'view') return { status: 200, title: `${tool} waits for an answer`, approval };
  const verb = action === 'approve' ? 'Approve' : 'Deny';
  return { status: 200, title: `${verb} ${tool}?`, said: `You answer as ${to}.`, approval, action };
}

/** What has become of the approval: who decided, and when. */
export function decidedPage(approval: Approval): Page {
  const said = whoSaid(approval);
  return { status: 409, title: TITLES[approval.status], approval, ...(said === undefined ? {} : { said }) };
}

function whoSaid({ status, answers, needed }: Approval): string | undefined {
  if (status === 'pending') return `${answers.length} of ${needed} people have approved.`;
  const by = answers.map(
    (answer) => `${answer.by} (${answer.approved ? 'approved' : 'denied'} ${timeText(answer.at)})`,
  );
  return by.length === 0 || status === 'expired' ? WITHOUT_ANSWER[status] : `By ${by.join(', ')}.`;
}

const TITLES: Record<Approval['status'], string> = {
  pending: 'Your answer is recorded',
  approved: 'This was approved',
  denied: 'This was denied',
  expired: 'This has expired',
  closed: 'This is not open any more',
};

const WITHOUT_ANSWER: Partial<Record<Approval['status'], string>> = {
  expired: 'It was not decided in time.',
  closed: 'What asked for it has ended.',
};

function toHtml({ title, said, approval, action }: Page): string {
  const body = [
    `<h1>${escape(title)}</h1>`,
    said === undefined ? '' : `<p>${escape(said)}</p>`,
    approval === undefined ? '' : factsHtml(approval),
    action === undefined ? '' : formHtml(action),
  ].join('');
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">` +
    `<title>${escape(title)}</title><style>${STYLE}</style></head><body><main>${body}</main></body></html>`
  );
}

function factsHtml(approval: Approval): string {
  const { prompt, reason, requestedBy, requestedAt, expiresAt, status, tool, input } = approval;
  const facts: Array<[string, string | null]> = [
    ['Tool', tool],
    ['Why it asks', reason],
    ['Requested by', requestedBy],
    ['Requested', timeText(requestedAt)],
    ['Expires', status === 'pending' && expiresAt !== null ? timeText(expiresAt) : null],
  ];
  const rows = facts.flatMap(([name, value]) =>
    value === null ? [] : [`<dt>${escape(name)}</dt><dd>${escape(value)}</dd>`],
  );
  const question = prompt === null ? '' : `<p><strong>${escape(prompt)}</strong></p>`;
  return `${question}<dl>${rows.join('')}</dl><pre>${escape(JSON.stringify(input, toJson, 2) ?? '')}</pre>`;
}

function formHtml(action: 'approve' | 'deny'): string {
  const reason =
    action === 'approve'
      ? ''
      : '<p><label for="reason">Why? The model is told.</label><textarea id="reason" name="reason" maxlength="10000"></textarea></p>';
  const verb = action === 'approve' ? 'Approve' : 'Deny';
  return `<form method="post" action="">${reason}<button class="${action}">${verb}</button></form>`;
}

function timeText(at: number): string {
  return new Date(at)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC');
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Text that turns the direction of what follows would show another input than the one that runs. */
const DIRECTIONS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

function escape(text: string): string {
  return text
    .replaceAll(DIRECTIONS, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}
