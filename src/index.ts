/* Runtime */
export { createRuntime } from './app/create-runtime.ts';
export type { Runtime } from './app/create-runtime.ts';
export type { ResumeHookOptions } from './app/resume-hook.ts';
export type { DueRun, OnDue } from './app/due-notices.ts';
export type { Drive, DriveOptions } from './runtime/driving.ts';
export type { RuntimeOptions } from './app/runtime-options.ts';
export type { RunHandle, RunStreamOptions } from './app/run-handle.ts';
export type { StreamOptions } from './app/stream-options.ts';
export type { LedgerEntry, RunError, RunInfo } from './app/run-info.ts';
export type { Start, StartInput, StartOptions } from './app/start-input.ts';
export type { Budget, BudgetLimits, BudgetScopes, RunBudget, TenantBudget } from './agent/budget-settings.ts';
export type { BudgetAnswer, BudgetChoice, BudgetQuestion, BudgetStop, CrossedLimit } from './agent/budget-answer.ts';
export type { ModelPrice, Prices } from './agent/turn/prices.ts';
export type { ApprovalQuery, Approvals, ApproveOptions, DenyOptions } from './app/approvals.ts';
export type { OpenedLink, RevokeOptions, UseLinkOptions } from './app/approval-links.ts';
export type { Approval, ApprovalRecord } from './app/approval-record.ts';
export type { AnswerOptions, Question, QuestionQuery, Questions } from './app/questions.ts';
export type { QuestionData, QuestionOption } from './streams/wire.ts';
export type { ActiveRun, Thread, ThreadOptions } from './app/threads.ts';
export type { ApprovalWait, ClientToolWait, HookWait, QuestionWait, SleepWait, Wait } from './app/waits.ts';
export type { ToolOutput } from './app/tool-outputs.ts';

/* Workflows */
export { child, shield, workflow } from './runtime/workflow.ts';
export type { ChildOptions, Workflow } from './runtime/workflow.ts';
export { getStepMetadata, step } from './runtime/step.ts';
export type { StepMetadata, StepOptions } from './runtime/step.ts';
export { now, randomUUID, sleep } from './runtime/sleep.ts';
export type { SleepOptions } from './runtime/sleep.ts';
export type { Duration } from './runtime/duration.ts';
export type { ConcurrencyLimit, LimitedRun, LimitKey, LimitOptions, RateLimit } from './runtime/limits.ts';

/* Agents */
export { DurableAgent } from './agent/durable-agent.ts';
export type { DurableAgentSettings } from './agent/durable-agent.ts';
export type { AgentInput } from './agent/agent-input.ts';
export type { AgentResult } from './agent/run/agent-state.ts';
export type { Approvers, DurableApprovalSettings, OnApprovalRequested } from './agent/approval-settings.ts';
export type { ApprovalAnswer, Person } from './agent/tool/approval-rules.ts';
export type { ApprovalNotice, NoticedApproval } from './agent/tool/approval-notice.ts';
export type { ApprovalLinks, LinkOptions } from './agent/tool/approval-link.ts';
export type { AuditEntry } from './agent/tool/approval-audit.ts';
export type { RequestedApproval } from './agent/tool/approval.ts';
export type {
  DurableCallSettings,
  DurableSettings,
  DurableToolSettings,
  DurableUiSettings,
  ProbeAnswer,
  ProbeOptions,
} from './agent/durable-settings.ts';
export { getToolMetadata } from './tools/tool-metadata.ts';
export type { ToolMetadata } from './tools/tool-metadata.ts';
export { mcpTools } from './tools/mcp.ts';
export type { McpClient, McpDefinitions, McpTools } from './tools/mcp.ts';

/* Hooks and streams */
export { ask } from './hooks/ask.ts';
export type { AskOptions, OptionValue } from './hooks/ask.ts';
export { createHook } from './hooks/create-hook.ts';
export type { HookOptions } from './hooks/create-hook.ts';
export { createWebhook } from './hooks/create-webhook.ts';
export type { Webhook, WebhookOptions, WebhookRequest } from './hooks/create-webhook.ts';
export type { ResumeWebhookOptions, SignedRequest, VerifiedRequest, Verifier } from './app/resume-webhook.ts';
export { defineHook } from './hooks/define-hook.ts';
export type { HookDefinition, HookResumer, HookResumption } from './hooks/define-hook.ts';
export type { Hook } from './hooks/open-hook.ts';
export type { StreamCursor, StreamItem, StreamReader, StreamReadOptions } from './streams/reader.ts';
export { smoothStream } from './streams/smooth-stream.ts';
export type { SmoothStreamOptions } from './streams/smooth-stream.ts';
export { writeUIMessageStream } from './streams/ui-message-stream.ts';
export type { StreamedAnswer, UIMessageStreamTarget } from './streams/ui-message-stream.ts';
export { getWritable } from './streams/writable.ts';
export type { WritableOptions } from './streams/writable.ts';

/* Errors */
export { DurableError, ERROR_CODES, FatalError, RetryableError } from './runtime/errors.ts';
export type { DurableErrorOptions, ErrorCode, RetryableErrorOptions } from './runtime/errors.ts';

/* Logs */
export { consoleLogger } from './runtime/logger.ts';
export type { LogFields, Logger } from './runtime/logger.ts';

/* Rows */
export type { EventHeader, EventType, JournalEvent } from './runtime/event.ts';
export type {
  Hint,
  LedgerQuery,
  LedgerScope,
  LedgerTotals,
  Page,
  RunQuery,
  RunStatus,
  Store,
  WhenBusy,
} from './runtime/store.ts';
export type { Registrable } from './runtime/registrable.ts';
