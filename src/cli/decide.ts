/** `everturn approve <id>` and `everturn deny <id>` */

import type { Approval } from '../app/approval-record.ts';
import type { ApproveOptions, DenyOptions } from '../app/approvals.ts';
import type { Runtime } from '../app/create-runtime.ts';
import type { Report } from './report.ts';
import { briefValue, printable } from './text.ts';

/** Where answers of the command line come in, for the records. */
const FROM = { from: 'cli' };

interface Named {
  by: string;
}

export async function approve(runtime: Runtime, id: string, options: ApproveOptions & Named): Promise<Report> {
  return decided(await runtime.approvals.approve(id, { ...options, ...FROM }), options);
}

export async function deny(runtime: Runtime, id: string, options: DenyOptions & Named): Promise<Report> {
  return decided(await runtime.approvals.deny(id, { ...options, ...FROM }), options);
}

function decided(approval: Approval, options: ApproveOptions & Named): Report {
  const said = SENTENCES[approval.question](approval, options);
  return { json: approval, lines: () => [printable(said)] };
}

const SENTENCES: Record<Approval['question'], (approval: Approval, options: ApproveOptions & Named) => string> = {
  execute: (approval, options) => sentence(approval, options),
  'in-doubt': (approval, options) => doubtSentence(approval, options),
  budget: (approval, options) => budgetSentence(approval, options),
};

function budgetSentence(
  { run, status, agent, input: proposed }: Approval,
  { by, input }: ApproveOptions & Named,
): string {
  if (status === 'denied') return `Run ${run} is stopped at its budget by ${by}.`;
  return `The budget of run ${run} is raised by ${by}: ${briefValue(input ?? proposed)}. A worker of ${agent} goes on with it.`;
}

/** What became of a call that its process did not survive. */
function doubtSentence({ tool, run, status, agent }: Approval, options: ApproveOptions & Named): string {
  const { by, result } = options;
  if (status === 'denied')
    return `${by} cannot say whether ${tool} of run ${run} took effect. The model is told that it is unknown.`;
  if ('result' in options)
    return `${by} says that ${tool} of run ${run} took effect, and answered ${briefValue(result)}. The model is told.`;
  return `${by} lets ${tool} of run ${run} run again, under the same idempotency key. A worker of ${agent} goes on with it.`;
}

function sentence(approval: Approval, { by, input }: ApproveOptions & Named): string {
  const { tool, run, status, needed, answers } = approval;
  if (status === 'pending') {
    return `${by} approves ${tool} of run ${run}. ${answers.length} of ${needed} people have; it still waits for the others.`;
  }
  if (status === 'denied') return `${tool} of run ${run} is denied by ${by}. The model is told.`;
  const edited = input === undefined ? '' : ` with ${briefValue(input)}`;
  return `${tool} of run ${run} is approved by ${by}${edited}. A worker of ${approval.agent} goes on with it.`;
}
