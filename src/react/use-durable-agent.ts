/** A durable agent in React. */

import type { UseChatHelpers } from '@ai-sdk/react';
import { generateId as defaultGenerateId } from 'ai';
import type { UIMessage } from 'ai';
import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import type { ApprovalWait, QuestionWait, Wait } from '../client/agent-api.ts';
import { openApprovals } from './open-approvals.ts';
import { AgentThread } from './agent-thread.ts';
import type { AgentThreadEvents, AgentThreadOptions, Draft, SendOptions } from './agent-thread.ts';
import type { AgentStatus, QueuedMessage, ThreadSnapshot } from './thread-view.ts';

export interface DurableAgentOptions<MESSAGE extends UIMessage = UIMessage>
  extends Omit<AgentThreadOptions, 'generateId' | 'messages'>, AgentThreadEvents {
  /** The thread. Default: a new one. */
  id?: string;
  /** Shown until the history is here. */
  messages?: MESSAGE[];
  generateId?: () => string;
}

export interface PendingApproval extends Omit<ApprovalWait, 'kind' | 'approvalId'> {
  id: string;
  /** Lets the tool run; `result`, only if the question is `in-doubt`: the effect happened, and this is what the tool answered. */
  approve(options?: { reason?: string; result?: unknown }): Promise<void>;
  deny(options?: { reason?: string }): Promise<void>;
  /** Lets the tool run with this input in place of the model's. */
  edit(input: unknown, options?: { reason?: string }): Promise<void>;
}

export interface PendingQuestion extends Omit<QuestionWait, 'kind' | 'questionId'> {
  id: string;
  /** One of the options' values, or what fits the schema. */
  answer(answer: unknown): Promise<void>;
}

type Replaced = 'status' | 'sendMessage' | 'regenerate' | 'stop' | 'resumeStream' | 'addToolApprovalResponse';

export interface DurableAgentHelpers<MESSAGE extends UIMessage = UIMessage> extends Omit<
  UseChatHelpers<MESSAGE>,
  Replaced
> {
  /** `waiting`: for what `waits` says, also right after a reload. `submitted`: at work, and nothing can be seen of it yet. */
  status: AgentStatus;
  /** What the run waits for: approvals, questions, client-side tools, hooks, a time. */
  waits: Wait[];
  /** What waits for a person. Each call resolves when the decision holds, and rejects if another one does. */
  approvals: PendingApproval[];
  /** What the agent's tools ask. Each call resolves when the answer is stored, and rejects if another one holds or it does not fit. */
  questions: PendingQuestion[];
  /** By message id: who sent it, where that is known: for threads that several people share. */
  authors: Record<string, string>;
  /** What will be answered after the active run. */
  queued: QueuedMessage[];
  /** The run that is going on. */
  run: ThreadSnapshot['run'];
  /** Whether the history is here. */
  isLoaded: boolean;
  /** Resolves when the server has the message; an error is in `error`. */
  sendMessage(message?: Draft, options?: SendOptions): Promise<void>;
  regenerate(options?: { messageId?: string } & SendOptions): Promise<void>;
  /** Stops the run wherever it runs and whoever started it; resolves when its end is shown. */
  stop(): Promise<void>;
  /** Connects anew, at once. It also does so by itself. */
  resumeStream(): Promise<void>;
  addToolApprovalResponse(answer: { id: string; approved: boolean; reason?: string }): Promise<void>;
}

/**
 * Shows a thread and what its agent does, live: turns that were started in other tabs or by the server too. Everything that is shown is
 * stored, so a reload shows the same. Tabs of one origin share one connection. The shape is that of `useChat`.
 *
 * The thread, `api` and `tabs` count when they change; headers and callbacks are always the last ones.
 */
export function useDurableAgent<MESSAGE extends UIMessage = UIMessage>(
  options: DurableAgentOptions<MESSAGE> = {},
): DurableAgentHelpers<MESSAGE> {
  // What comes over the wire has the types that the caller says.
  return useThreadOf(options) as unknown as DurableAgentHelpers<MESSAGE>;
}

function useThreadOf(options: DurableAgentOptions): DurableAgentHelpers {
  const thread = useThread(options);
  const { messages, authors, queued, status, run, waits, error, isLoaded } = useSyncExternalStore(
    thread.subscribe,
    thread.snapshot,
    thread.snapshot,
  );
  useEffect(() => thread.hold(), [thread]);
  const approvals = useMemo(
    () => openApprovals({ waits, messages, run }).map((wait) => toApproval(thread, wait)),
    [thread, waits, messages, run],
  );
  const questions = useMemo(() => waits.flatMap((wait) => toQuestion(thread, wait)), [thread, waits]);
  const actions = useMemo(() => toActions(thread), [thread]);
  const experimental_queuedMessages = queued.map(({ message }) => message);
  return {
    ...actions,
    id: thread.id,
    messages,
    authors,
    queued,
    experimental_queuedMessages,
    status,
    run,
    waits,
    approvals,
    questions,
    error,
    isLoaded,
  };
}

function useThread({ id: given, ...options }: DurableAgentOptions): AgentThread {
  const { generateId = defaultGenerateId, api, tabs } = options;
  const [own] = useState(generateId);
  const id = given ?? own;
  const latest = useRef(options);
  latest.current = options;
  const held = useRef<{ thread: AgentThread; name: string }>(undefined);
  const name = JSON.stringify([id, api, tabs]);
  if (held.current?.name !== name) held.current = { name, thread: createThread(id, latest) };
  return held.current.thread;
}

function createThread(id: string, latest: { current: DurableAgentOptions }): AgentThread {
  const { headers: _, generateId = defaultGenerateId, ...options } = latest.current;
  const headers = async (): Promise<Record<string, string> | Headers> => {
    const { headers = {} } = latest.current;
    return typeof headers === 'function' ? headers() : headers;
  };
  return new AgentThread(id, { ...options, generateId, headers }, () => latest.current);
}

function toApproval(thread: AgentThread, wait: ApprovalWait): PendingApproval {
  const { kind: _, approvalId: id, ...details } = wait;
  return {
    ...details,
    id,
    approve: (options) => thread.decide(id, { ...options, approved: true }),
    deny: (options) => thread.decide(id, { ...options, approved: false }),
    edit: (input, options) => thread.decide(id, { ...options, input, approved: true }),
  };
}

function toQuestion(thread: AgentThread, wait: Wait): PendingQuestion[] {
  if (wait.kind !== 'question') return [];
  const { kind: _, questionId: id, ...details } = wait;
  return [{ ...details, id, answer: (answer) => thread.answer(id, answer) }];
}

type Actions = Omit<
  DurableAgentHelpers,
  | 'id'
  | 'messages'
  | 'authors'
  | 'queued'
  | 'experimental_queuedMessages'
  | 'status'
  | 'run'
  | 'waits'
  | 'approvals'
  | 'questions'
  | 'error'
  | 'isLoaded'
>;

/** As stable as the thread is. */
function toActions(thread: AgentThread): Actions {
  const addToolOutput: Actions['addToolOutput'] = ({ tool, toolCallId, output, errorText }) =>
    thread.addToolOutput({ tool, toolCallId, output, ...(errorText === undefined ? {} : { errorText }) });
  return {
    sendMessage: (message, options) => thread.send(message, options),
    regenerate: (options) => thread.regenerate(options),
    stop: () => thread.stop(),
    resumeStream: async () => thread.refresh(),
    setMessages: (messages) => thread.setMessages(messages),
    clearError: () => thread.clearError(),
    addToolApprovalResponse: ({ id, ...decision }) => thread.decide(id, decision),
    addToolOutput,
    addToolResult: addToolOutput,
    experimental_removeQueuedMessage: (id) => void thread.removeQueued(id),
    experimental_sendQueuedMessageNow: (id) => thread.sendQueuedNow(id),
  };
}
