/* Transport */
export { durableChatTransport } from './client/durable-chat-transport.ts';
export type { DurableChatTransport, DurableChatTransportOptions, ToolOutput } from './client/durable-chat-transport.ts';
export type {
  AgentApiOptions,
  ApprovalWait,
  ClientToolWait,
  Decision,
  HeadersSource,
  QuestionWait,
  RequestOptions,
  ThreadHistory,
  Wait,
} from './client/agent-api.ts';
export type { ThreadUpdate } from './client/thread-feed.ts';

/* Streams */
export { readStream } from './client/read-stream.ts';
export type { ReadStreamOptions, StreamEvent } from './client/read-stream.ts';

/* For tests */
export type { Environment, Network, NetworkNews } from './client/environment.ts';

/* Questions and approvals in messages */
export type { ApprovalRequestData, BudgetWait, QuestionData, QuestionOption } from './streams/wire.ts';

/* Errors */
export { DurableError } from './runtime/errors.ts';
