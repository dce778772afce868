/** What a decision carries to the call, checked when it arrives by the schemas that the code has now. */

import type { FlexibleSchema, ToolSet } from 'ai';
import { checkChoice } from '../agent/budget-answer.ts';
import type { Decision } from '../agent/tool/approval.ts';
import { checkBySchema, checkEditedInput, fromStoredSchema } from '../agent/tool/edited-input.ts';
import { stringifyValue } from '../runtime/codec.ts';
import { DurableError } from '../runtime/errors.ts';
import { sha256Hex } from '../runtime/signature.ts';
import type { ApprovalRow } from './approval-record.ts';

export type Decided = Omit<Decision, 'by'>;

/** Throws for what the run cannot take. The call itself reads an edited input by the schema that its tool has then. */
export async function checkDecision(tools: ToolSet, row: ApprovalRow, decision: Decided): Promise<void> {
  const { id, tool, question, inputSchema, outputSchema } = row.details;
  if (row.details.budget !== undefined) {
    if ('result' in decision) throw noResult(id);
    if (decision.input !== undefined) checkChoice(row.details.budget, decision.input);
    return;
  }
  const known = Object.hasOwn(tools, tool) ? tools[tool] : undefined;
  if ('result' in decision) {
    if (question !== 'in-doubt') throw noResult(id);
    const schema = known?.outputSchema ?? fromStoredSchema(outputSchema);
    await checkResult(schema as FlexibleSchema | undefined, { tool, result: decision.result });
  }
  if (decision.input === undefined) return;
  if (question === 'in-doubt') throw noInput(id);
  const { needed } = row.hook;
  if (needed > 1) throw inputOfMany(id, needed);
  await checkEditedInput(known?.inputSchema ?? fromStoredSchema(inputSchema), { tool, input: decision.input });
}

/** The same for the same words of the same person, so that an answer that is sent again is known. */
export function deliveryIdOf(id: string, { by, decision }: { by: string; decision: Decided }): string {
  const { approved, reason, input, result } = decision;
  const said = [id, by, approved, reason ?? null, input ?? null, 'result' in decision ? [result] : []];
  return `decision:${sha256Hex(stringifyValue(said, `the answer to approval "${id}"`))}`;
}

async function checkResult(
  schema: FlexibleSchema | undefined,
  { tool, result }: { tool: string; result: unknown },
): Promise<void> {
  const checked = await checkBySchema(schema, result);
  if (checked === undefined || checked.success) return;
  const { issues, error } = checked;
  const first = issues[0];
  throw new DurableError(
    'payload_invalid',
    `Cannot take this as the result of "${tool}": ${first === undefined ? error.message : `${first.path}: ${first.message}`}. ` +
      'Send a result that fits the outputSchema of the tool.',
    { cause: error, details: { tool, issues } },
  );
}

function noResult(id: string): DurableError {
  return new DurableError(
    'invalid_argument',
    `Cannot approve "${id}" with a result: the call has not run. Leave "result" out; "input" changes what it runs with.`,
    { details: { id } },
  );
}

function noInput(id: string): DurableError {
  return new DurableError(
    'invalid_argument',
    `Cannot approve "${id}" with another input: the call has begun with the one that it has. Approve to run it again, or deny it.`,
    { details: { id } },
  );
}

function inputOfMany(id: string, needed: number): DurableError {
  return new DurableError(
    'invalid_argument',
    `Cannot approve "${id}" with another input: ${needed} people must approve, and each must see the same. Deny it and say what it should be.`,
    { details: { id, needed } },
  );
}
