/** `everturn inspect approvals` */

import type { Approval } from '../app/approval-record.ts';
import type { ApprovalQuery } from '../app/approvals.ts';
import type { Runtime } from '../app/create-runtime.ts';
import { nextPage } from './next-page.ts';
import { relativeText } from './relative-time.ts';
import type { Layout, Report } from './report.ts';
import { statusCell } from './run-words.ts';
import { tableLines } from './table.ts';
import type { Column } from './table.ts';
import { briefValue, printable, shellWord, wrapped } from './text.ts';

const COLUMNS: readonly Column[] = [
  { title: 'APPROVAL', isWhole: true },
  { title: 'STATUS', isWhole: true },
  { title: 'TOOL' },
  { title: 'ASKED', isWhole: true },
  { title: 'RUN', isWhole: true },
];
const INDENT = '  ';

export async function inspectApprovals(runtime: Runtime, query: ApprovalQuery): Promise<Report> {
  const { items, cursor } = await runtime.approvals.list(query);
  const none =
    query.status === undefined || query.status === 'pending' ? 'Nothing waits for a person.' : 'No approvals.';
  return {
    json: { items, cursor },
    lines: (layout) =>
      items.length === 0 && cursor === null
        ? [none]
        : [...approvalLines(items, layout), ...nextPage(cursor, { command: 'inspect approvals', layout })],
  };
}

/** Each with what it asks below it: nobody should decide about an input that the table has cut. */
export function approvalLines(approvals: readonly Approval[], layout: Layout & { isOfOneRun?: boolean }): string[] {
  const cells = approvals.map((approval) => [
    approval.id,
    statusCell(approval.status),
    approval.tool,
    relativeText(approval.requestedAt, layout.now),
    layout.isOfOneRun === true ? '' : shellWord(approval.run),
  ]);
  return tableLines(COLUMNS, cells, { ...layout, below: (row) => detailLines(approvals[row], layout) });
}

function detailLines(
  approval: Approval | undefined,
  { width, paint, now, isOfOneRun = false }: Layout & { isOfOneRun?: boolean },
): string[] {
  if (approval === undefined) return [];
  const { agent, run, root, path, thread, tenant, reason, approvers, prompt, expiresAt, status, requestedBy } =
    approval;
  const whose = [
    `agent ${agent}`,
    ...(thread === null ? [] : [`thread ${thread}`]),
    ...(tenant === null ? [] : [`tenant ${tenant}`]),
    ...(root === run ? [] : [`at the top run ${root}`]),
  ];
  const facts = [
    ...(isOfOneRun ? [] : [whose.join(', ')]),
    ...(path.length > 2 ? [path.join(' > ')] : []),
    ...(prompt === null ? [] : [prompt]),
    ...(reason === null ? [] : [reason]),
    ...(requestedBy === null ? [] : [`requested by ${requestedBy}`]),
    ...(status === 'pending' && expiresAt !== null ? [`expires ${relativeText(expiresAt, now)}`] : []),
    ...(approvers === null ? [] : [`approvers: ${approvers.join(', ')}`]),
    ...answersText(approval, now),
  ];
  const room = width - INDENT.length;
  return [
    ...wrapped(briefValue(approval.input), room),
    ...facts.flatMap((fact) => wrapped(printable(fact), room)).map((line) => paint('dim', line)),
  ].map((line) => INDENT + line);
}

function answersText({ answers, needed, status }: Approval, now: number): string[] {
  const said = answers.map(
    ({ by, approved, at }) => `${approved ? 'approved' : 'denied'} by ${by} ${relativeText(at, now)}`,
  );
  const missing = status === 'pending' && needed > 1 ? [`${answers.length} of ${needed} approvals`] : [];
  const all = [...said, ...missing];
  return all.length === 0 ? [] : [all.join(', ')];
}
