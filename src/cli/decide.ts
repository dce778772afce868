/** `everturn approve <id>` and `everturn deny <id>` */

import type { Approval, ApproveOptions, DenyOptions } from '../app/approvals.ts';
import type { Runtime } from '../app/create-runtime.ts';
import type { Report } from './report.ts';
import { briefValue, printable } from './text.ts';

export async function approve(runtime: Runtime, id: string, options: ApproveOptions): Promise<Report> {
  return decided(await runtime.approvals.approve(id, options), options);
}

export async function deny(runtime: Runtime, id: string, options: DenyOptions): Promise<Report> {
  return decided(await runtime.approvals.deny(id, options), options);
}

function decided(approval: Approval, { by, input }: ApproveOptions): Report {
  return { json: approval, lines: () => [printable(sentence(approval, { by, input }))] };
}

function sentence(approval: Approval, { by, input }: { by: string; input?: unknown }): string {
  const { tool, run, status, needed, answers } = approval;
  if (status === 'pending') {
    return `${by} approves ${tool} of run ${run}. ${answers.length} of ${needed} people have; it still waits for the others.`;
  }
  if (status === 'denied') return `${tool} of run ${run} is denied by ${by}. The model is told.`;
  const edited = input === undefined ? '' : ` with ${briefValue(input)}`;
  return `${tool} of run ${run} is approved by ${by}${edited}. A worker of ${approval.agent} goes on with it.`;
}
