/* Hook */
export { useDurableAgent } from './react/use-durable-agent.ts';
export type {
  DurableAgentHelpers,
  DurableAgentOptions,
  PendingApproval,
  PendingQuestion,
} from './react/use-durable-agent.ts';
export type { AgentThreadEvents, AgentThreadOptions, Draft, SendOptions, WhenBusy } from './react/agent-thread.ts';
export type { AgentStatus, QueuedMessage, RunEnd, ThreadSnapshot } from './react/thread-view.ts';

/* What runs wait for */
export type { ApprovalWait, ClientToolWait, QuestionWait, Wait } from './client/agent-api.ts';

/* Questions */
export type { QuestionData, QuestionOption } from './streams/wire.ts';

/* Errors */
export { DurableError } from './runtime/errors.ts';
