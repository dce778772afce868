/** Asks a person how to go on when a budget is used up: an approval. Approve: it is raised. Deny, or no answer in time: the run stops. */

import { approvalHook, approvalTokenHash, UNASKED } from '../tool/approval.ts';
import type { ApprovalDetails, Decision } from '../tool/approval.ts';
import { descentOf } from '../tool/approval-origin.ts';
import { showRequest, surfacedDecision } from '../tool/approval-surface.ts';
import { termsOf } from '../tool/approval-terms.ts';
import type { ApprovalTerms } from '../tool/approval-terms.ts';
import { choiceSchema, inWords, proposedRaise, toAnswer } from '../budget-answer.ts';
import type { BudgetAnswer, BudgetChoice, BudgetQuestion } from '../budget-answer.ts';
import type { BudgetGateOptions } from './budget-gate.ts';
import type { Crossed } from './crossed-limits.ts';

/** What the rows of such approvals name as their tool. */
export const BUDGET_TOOL = 'budget';
/** Keys of what is recorded, below the question's. */
export const ASKED = 'asked';
export const ANSWERED = 'answered';

interface AskOptions extends Omit<BudgetGateOptions, 'inFrame' | 'path'> {
  /** The question's. */
  key: string;
  /** Not looked at if the question is recorded. */
  crossed: readonly Crossed[];
}

/** What is written down when it is asked: code that changes meanwhile changes nothing of it. */
interface Asked {
  terms: ApprovalTerms;
  question: BudgetQuestion;
}

/** Resolves when the answer is recorded. Asked once under each key. */
export async function askAboutBudget(options: AskOptions): Promise<void> {
  const { context, key, onApprovalRequested } = options;
  const id = `apr_${context.sign(`budget\n${context.run.id}\n${key}`).slice(0, 32)}`;
  const { terms, question } = await context.perform<Asked>({
    key: `${key}/${ASKED}`,
    kind: 'step',
    label: 'ask how to go on with a budget',
    body: () => askedOf(options),
  });
  const input: BudgetChoice = { raise: question.proposed };
  const reason = `The budget is used up: ${inWords(question.crossed)}.`;
  const asked = { question: 'budget' as const, tool: BUDGET_TOOL, toolCallId: id, input, reason };
  const { needed, remindAt: _r, escalatedForMs: _e, once: _o, isTold: _t, ...terminable } = terms;
  const details: ApprovalDetails = {
    ...UNASKED,
    ...asked,
    ...terminable,
    id,
    inputSchema: choiceSchema(question),
    budget: question,
  };
  const { inputSchema, budget } = details;
  const watched = { ...asked, inputSchema, budget, key, tokenHash: approvalTokenHash(id), approvalId: id, terms };
  const { place } = context.scope();
  // crash here: the question is open, and is found open under the same key
  context.createHook(approvalHook(key, { details, needed }), {
    onCreate: () => showRequest(context, watched, place),
  });
  const decision = await surfacedDecision<Decision | undefined>(context, watched, {
    onApprovalRequested,
    settle: (said) => said,
  });
  // crash here: the answer is journaled, and what it comes to is recorded when the run goes on
  await context.perform<BudgetAnswer>({
    key: `${key}/${ANSWERED}`,
    kind: 'step',
    label: 'take the answer about a budget',
    body: () => toAnswer(decision, { id, question, requestedAt: terms.requestedAt, now: context.storeNow() }),
  });
}

async function askedOf({ context, key, budget, crossed, turns, senders, ...options }: AskOptions): Promise<Asked> {
  const { requestedBy = null, onApprovalRequested } = options;
  const proposed = proposedRaise(crossed);
  const models = Object.keys(budget.cheaperModels);
  const question: BudgetQuestion = {
    crossed: crossed.map(({ of, limit, used, allowed }) => ({ of, limit, used, allowed })),
    proposed,
    models,
  };
  const input: BudgetChoice = { raise: proposed };
  const own = { requestedBy, senders: senders?.() ?? [] };
  const request = {
    tool: BUDGET_TOOL,
    input,
    turn: turns?.() ?? 0,
    now: context.storeNow(),
    ...(await descentOf(context, { key, tool: BUDGET_TOOL, own })),
    logger: context.logger,
    isTold: onApprovalRequested !== undefined,
  };
  const terms = await termsOf(budget.approval, request);
  const rules = { ...terms.rules, asksRuntime: budget.isApprovalShared };
  const prompt = terms.prompt ?? inQuestion(question);
  return { terms: { ...terms, rules, prompt, needed: 1, once: false }, question };
}

function inQuestion({ crossed, models }: BudgetQuestion): string {
  const cheaper = models.length === 0 ? '' : `, with a cheaper model (${models.join(', ')}) if you like`;
  return `The budget is used up: ${inWords(crossed)}. Raise it${cheaper}, or stop here?`;
}
