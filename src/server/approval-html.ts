/** The pages behind links to approvals as HTML: documents without scripts, for any browser and mail client. */

import type { Approval } from '../app/approval-record.ts';
import { SAFE_HEADERS } from './http-error.ts';
import { toJson } from './json.ts';

export interface Page {
  status: number;
  title: string;
  /** Below the title. */
  said?: string;
  approval?: Approval;
  /** What can be sent; none if there is nothing to do. */
  form?: LinkForm;
}

export interface LinkForm {
  /** `settle`: of a call in doubt, all that can be said of it. `fail`: only that nobody knows. `raise`, `stop`: of a budget. */
  kind: 'approve' | 'deny' | 'settle' | 'fail' | 'raise' | 'stop';
  /** Why what was sent before was not taken, and what it was. */
  problem?: string;
  result?: string;
}

const STYLE =
  ':root{color-scheme:light dark;--text:#1c1c1e;--soft:#62626b;--page:#f4f4f6;--card:#fff;--line:#e3e3e8;--well:#f6f6f8;--yes:#1d4ed8;--no:#b91c1c;--bad:#fef2f2}' +
  '@media(prefers-color-scheme:dark){:root{--text:#ececf1;--soft:#a0a0ab;--page:#111113;--card:#1b1b1f;--line:#303037;--well:#242429;--yes:#3b6ef5;--no:#d13b3b;--bad:#3a1d1d}}' +
  '*{box-sizing:border-box}body{font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;margin:0;padding:1.5rem 1rem 3rem;color:var(--text);background:var(--page)}' +
  'main{max-width:36rem;margin:0 auto;padding:1.75rem;background:var(--card);border:1px solid var(--line);border-radius:14px}' +
  'h1{font-size:1.35rem;line-height:1.3;margin:0 0 .25rem}h2{font-size:1rem;margin:0}p{margin:.25rem 0}.soft,dt{color:var(--soft)}.question{font-size:1.1rem;font-weight:600;margin:1.25rem 0 0}' +
  'dl{display:grid;grid-template-columns:max-content 1fr;gap:.35rem 1.25rem;margin:1.25rem 0}dd{margin:0;overflow-wrap:anywhere}' +
  'pre{font:.875rem/1.5 ui-monospace,Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere;background:var(--well);border:1px solid var(--line);padding:.75rem .9rem;border-radius:8px;margin:0}' +
  'form{margin-top:1.25rem}form+form{border-top:1px solid var(--line);padding-top:1.25rem}label{display:block;margin-bottom:.35rem;color:var(--soft)}' +
  'textarea{width:100%;padding:.6rem .75rem;min-height:4.5rem;font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:8px;resize:vertical}' +
  'button{font:inherit;font-weight:600;min-height:2.75rem;padding:.5rem 1.5rem;margin-top:.75rem;border:0;border-radius:8px;background:var(--yes);color:#fff;cursor:pointer}button.no{background:var(--no)}' +
  'button:focus-visible,textarea:focus-visible{outline:3px solid var(--yes);outline-offset:2px}.problem{background:var(--bad);border-radius:8px;padding:.6rem .75rem;margin-top:1.25rem}' +
  '@media(max-width:30rem){main{padding:1.25rem}dl{display:block}dt{margin-top:.6rem}button{width:100%}}';

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

function toHtml({ title, said, approval, form }: Page): string {
  const body = [
    `<h1>${escape(title)}</h1>`,
    said === undefined ? '' : `<p class="soft">${escape(said)}</p>`,
    approval === undefined ? '' : factsHtml(approval, title),
    form === undefined ? '' : formsHtml(form),
  ].join('');
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">` +
    `<title>${escape(title)}</title><style>${STYLE}</style></head><body><main>${body}</main></body></html>`
  );
}

function factsHtml(approval: Approval, title: string): string {
  const { question, prompt, reason, requestedBy, requestedAt, expiresAt, status, tool, input } = approval;
  const facts: Array<[string, string | null]> = [
    ['Tool', tool],
    [question === 'in-doubt' ? 'What is known' : 'Why it asks', reason],
    ['Requested by', requestedBy],
    ['Requested', timeText(requestedAt)],
    ['Expires', status === 'pending' && expiresAt !== null ? timeText(expiresAt) : null],
  ];
  const rows = facts.flatMap(([name, value]) =>
    value === null ? [] : [`<dt>${escape(name)}</dt><dd>${escape(value)}</dd>`],
  );
  const words = prompt === null || prompt === title ? '' : `<p class="question">${escape(prompt)}</p>`;
  return `${words}<dl>${rows.join('')}</dl><pre>${escape(JSON.stringify(input, toJson, 2) ?? '')}</pre>`;
}

function formsHtml({ kind, problem, result = '' }: LinkForm): string {
  const told = problem === undefined ? '' : `<p class="problem" role="alert">${escape(problem)}</p>`;
  const reason = textarea('reason', { label: 'Why? The model is told.' });
  switch (kind) {
    case 'approve':
      return formHtml({ button: 'Approve' });
    case 'raise':
      return formHtml({ button: 'Raise it' });
    case 'stop':
      return formHtml({ field: textarea('reason', { label: 'Why?' }), button: 'Stop the run', isNo: true });
    case 'deny':
      return formHtml({ field: reason, button: 'Deny', isNo: true });
    case 'fail':
      return failForm();
    default:
      return [
        told,
        formHtml({
          says: 'again',
          title: 'It did not happen',
          note: 'The call runs again, under the same idempotency key.',
          button: 'Run it again',
        }),
        formHtml({
          says: 'happened',
          title: 'It happened',
          field: textarea('result', { label: 'What came of it? The model is told. Text or JSON.', text: result }),
          button: 'It happened',
        }),
        failForm(),
      ].join('');
  }
}

function failForm(): string {
  const field = textarea('reason', { label: 'What should the model know?' });
  return formHtml({ says: 'failed', title: 'Nobody knows', field, button: 'Let it fail', isNo: true });
}

interface FormParts {
  says?: 'again' | 'happened' | 'failed';
  title?: string;
  note?: string;
  field?: string;
  button: string;
  isNo?: boolean;
}

function formHtml({ says, title, note, field = '', button, isNo = false }: FormParts): string {
  return [
    '<form method="post" action="">',
    says === undefined ? '' : `<input type="hidden" name="says" value="${says}">`,
    title === undefined ? '' : `<h2>${title}</h2>`,
    note === undefined ? '' : `<p class="soft">${note}</p>`,
    field,
    `<button class="${isNo ? 'no' : 'yes'}">${button}</button></form>`,
  ].join('');
}

function textarea(name: 'reason' | 'result', { label, text }: { label: string; text?: string }): string {
  const required = name === 'result' ? ' required' : '';
  return (
    `<label for="${name}">${label}</label>` +
    `<textarea id="${name}" name="${name}" maxlength="10000"${required}>${escape(text ?? '')}</textarea>`
  );
}

export function timeText(at: number): string {
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
