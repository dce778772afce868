/** `everturn inspect approvals <id>`: one approval, and what happened to it. */

import type { AuditEntry } from '../agent/tool/approval-audit.ts';
import type { Runtime } from '../app/create-runtime.ts';
import { approvalLines } from './inspect-approvals.ts';
import { relativeText } from './relative-time.ts';
import type { Layout, Report } from './report.ts';
import { tableLines } from './table.ts';
import type { Column } from './table.ts';
import { printable } from './text.ts';

const COLUMNS: readonly Column[] = [
  { title: 'WHEN', isWhole: true },
  { title: 'WHAT', isWhole: true },
  { title: 'BY' },
  { title: 'FROM' },
  { title: 'WHY' },
];

export async function inspectApproval(runtime: Runtime, id: string): Promise<Report> {
  const approval = await runtime.approvals.get(id);
  return {
    json: approval,
    lines: (layout) => [...approvalLines([approval], layout), '', ...auditLines(approval.audit, layout)],
  };
}

function auditLines(audit: readonly AuditEntry[], layout: Layout): string[] {
  const cells = audit.map((entry) => [
    relativeText(entry.at, layout.now),
    whatOf(entry),
    printable(entry.by ?? ''),
    printable(entry.from ?? ''),
    printable(whyOf(entry, layout.now)),
  ]);
  return tableLines(COLUMNS, cells, layout);
}

function whatOf({ type, approved }: AuditEntry): string {
  if (type === 'answered') return approved === true ? 'approved' : 'denied';
  return type === 'notification_failed' ? 'notification failed' : type;
}

function whyOf({ type, why, expiresAt, to }: AuditEntry, now: number): string {
  if (type === 'revoked') return to === undefined ? 'all links' : `the links of ${to}`;
  return why ?? (expiresAt === undefined ? '' : `expires ${relativeText(expiresAt, now)}`);
}
