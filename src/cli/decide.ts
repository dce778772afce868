/** `everturn approve <id>` and `everturn deny <id>` */

import { z } from 'zod';
import { checkEditedInput } from '../agent/tool/approval.ts';
import type { Approval, ApproveOptions, DenyOptions } from '../app/approvals.ts';
import type { Runtime } from '../app/create-runtime.ts';
import type { Report } from './report.ts';
import { briefValue, printable } from './text.ts';

export async function approve(runtime: Runtime, id: string, options: ApproveOptions): Promise<Report> {
  if (options.input !== undefined) await checkInput(await runtime.approvals.get(id), options.input);
  return decided(await runtime.approvals.approve(id, options), options);
}

export async function deny(runtime: Runtime, id: string, options: DenyOptions): Promise<Report> {
  return decided(await runtime.approvals.deny(id, options), options);
}

/**
 * The tools are not here, but the approval has the schema of its tool. Where that cannot be read, the worker's own check is the only one: it
 * denies what does not fit. Throws `payload_invalid`.
 */
async function checkInput({ tool, inputSchema }: Approval, input: unknown): Promise<void> {
  const schema = schemaOf(inputSchema);
  if (schema !== undefined) await checkEditedInput({ [tool]: { inputSchema: schema } }, { tool, input });
}

function schemaOf(json: unknown): z.ZodType | undefined {
  if (typeof json !== 'object' || json === null) return undefined;
  try {
    // Absent before zod 4.2; throws for what it has no form for.
    return (z as Partial<typeof z>).fromJSONSchema?.(json as Parameters<typeof z.fromJSONSchema>[0]);
  } catch {
    return undefined;
  }
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
