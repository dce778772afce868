/** Links to approvals: a page to look at, and its form. The token is the authority; a link may ask for a login besides. */

import { z } from '@hono/zod-openapi';
import type { ZodType } from 'zod';
import type { OpenedLink, UseLinkOptions } from '../app/approval-links.ts';
import type { Runtime } from '../app/create-runtime.ts';
import { DurableError } from '../runtime/errors.ts';
import type { AccessRequest, Caller } from './access.ts';
import { pageResponse } from './approval-html.ts';
import type { Page } from './approval-html.ts';
import { decidedPage, linkPage, refusedPage } from './approval-page.ts';
import { endpoint } from './endpoint.ts';
import type { Endpoint } from './endpoint.ts';
import { subjectOf } from './row-access.ts';
import type { Allow } from './row-access.ts';
import type { ServerParts } from './server-parts.ts';

interface TokenParams {
  token: string;
}

const HTML = { type: 'text/html', schema: z.string() };
const PAGES = {
  404: { description: 'The link is none of an approval here.', ...HTML },
  410: { description: 'The link has expired, or was taken back.', ...HTML },
};

export function approvalLinkEndpoints({ runtime }: ServerParts): Endpoint[] {
  const params: ZodType<TokenParams> = z.object({
    token: z
      .string()
      .min(1)
      .openapi({
        param: { name: 'token', in: 'path' },
        description: 'The end of a link that `approval.links()` made.',
      }),
  });
  return [show(runtime, params), use(runtime, params)];
}

function show(runtime: Runtime, params: ZodType<TokenParams>): Endpoint {
  return endpoint({
    method: 'get',
    path: '/approvals/links/{token}',
    summary: 'A page that shows the approval and asks. It decides nothing, however often it is opened.',
    access: 'open',
    params,
    responses: { 200: { description: 'The approval, and what has become of it.', ...HTML }, ...PAGES },
    handle: ({ params: { token }, allow }) =>
      toResponse(async () => {
        const link = await runtime.approvals.openLink(token);
        await loggedIn(runtime, link, { allow, action: 'approval.read' });
        await runtime.approvals.get(link.approval.id, { viewedBy: link.to, from: 'link' });
        return linkPage(link);
      }),
  });
}

function use(runtime: Runtime, params: ZodType<TokenParams>): Endpoint {
  return endpoint<TokenParams, undefined, Uint8Array>({
    method: 'post',
    path: '/approvals/links/{token}',
    summary: 'The form of that page: answers in the name of the one whose link it is.',
    access: 'open',
    params,
    body: 'raw',
    responses: {
      200: { description: 'The answer is recorded.', ...HTML },
      403: { description: 'This one may not answer.', ...HTML },
      409: { description: 'It was decided before: by whom, and when.', ...HTML },
      422: { description: 'The result does not fit the tool: the form once more.', ...HTML },
      ...PAGES,
    },
    handle: ({ params: { token }, body, allow }) =>
      toResponse(async () => {
        const link = await runtime.approvals.openLink(token);
        const as = await loggedIn(runtime, link, { allow, action: 'approval.decide' });
        const isOver = link.isExpired || link.isRevoked;
        if (link.approval.status === 'pending' && isOver) await refuseQuietly(runtime, token);
        if (isOver) return linkPage(link);
        return answer(runtime, token, { ...readForm(body), ...(as === undefined ? {} : { as }) });
      }),
  });
}

type LinkAnswer = Pick<UseLinkOptions, 'as' | 'reason' | 'says'> & { result: string };

function readForm(body: Uint8Array): LinkAnswer {
  const fields = new URLSearchParams(new TextDecoder().decode(body));
  const text = (name: string): string => fields.get(name)?.slice(0, 10_000) ?? '';
  const [reason, says] = [text('reason'), text('says')];
  return {
    result: text('result'),
    ...(reason === '' ? {} : { reason }),
    ...(says === 'happened' || says === 'failed' ? { says } : {}),
  };
}

async function answer(runtime: Runtime, token: string, { result: text, ...said }: LinkAnswer): Promise<Page> {
  let problem = '';
  for (const result of readings(text)) {
    try {
      return { ...decidedPage(await runtime.approvals.useLink(token, { ...said, result })), status: 200 };
    } catch (error) {
      if (DurableError.is(error, 'approval_decided'))
        return { ...linkPage(await runtime.approvals.openLink(token)), status: 409 };
      if (!DurableError.is(error, 'payload_invalid')) throw error;
      problem ||= withoutAnchor(error);
    }
  }
  return refusedPage(await runtime.approvals.openLink(token), { problem, result: text });
}

/** What a person writes may be JSON, and may as well be meant as it stands. */
function readings(text: string): unknown[] {
  try {
    const value: unknown = JSON.parse(text);
    return [value, text];
  } catch {
    return [text];
  }
}

/** People who read pages have no docs at hand. */
function withoutAnchor({ message }: DurableError): string {
  return message.replace(/ \(docs\/[^)]*\)$/, '');
}

/** The refusal is noted; the page says the rest. */
async function refuseQuietly(runtime: Runtime, token: string): Promise<void> {
  try {
    await runtime.approvals.useLink(token);
  } catch (error) {
    if (!DurableError.is(error, 'forbidden')) throw error;
  }
}

/** Who is logged in, where the link asks for it. What `authorize` answers in place of a principal, such as a way to log in, is sent. */
async function loggedIn(
  runtime: Runtime,
  { requireLogin, to, approval }: OpenedLink,
  { allow, action }: { allow: Allow; action: AccessRequest['action'] },
): Promise<Caller | undefined> {
  if (!requireLogin) return undefined;
  // The token is signed, so its approval exists: no need to hide what it is of.
  const caller = await allow({ action, approvalId: approval.id, ...(await subjectOf(runtime, approval)) });
  if (caller.id === to && caller.tenant === approval.tenant) return caller;
  throw new DurableError('forbidden', "This link is somebody else's: log in as the one whom it was sent to.");
}

async function toResponse(page: () => Promise<Page>): Promise<Response> {
  try {
    return pageResponse(await page());
  } catch (error) {
    const failed = failurePage(error);
    if (failed === undefined) throw error;
    return pageResponse(failed);
  }
}

function failurePage(error: unknown): Page | undefined {
  if (DurableError.is(error, 'approval_not_found'))
    return {
      status: 404,
      title: 'This link is not valid',
      said: 'It is damaged, or too old. Ask whoever sent it for another one.',
    };
  if (DurableError.is(error, 'forbidden'))
    return { status: 403, title: 'You may not answer this', said: withoutAnchor(error) };
  return undefined;
}
