import type { UIMessage } from 'ai';
import { expect, it } from 'vitest';
import type { ApprovalWait } from '../../src/client/agent-api.ts';
import { openApprovals } from '../../src/react/open-approvals.ts';

const asked = {
  path: ['support', 'ops', 'shell'],
  run: 'run_1.a',
  toolCallId: 'c1',
  tool: 'shell',
  input: { command: 'rm a' },
};
const card = (id: string, status: string) => ({ type: 'data-approval-request', id, data: { ...asked, status } });
const message = (id: string, parts: object[]): UIMessage => ({ id, role: 'assistant', parts: parts as never });
const waits = [
  { kind: 'approval', approvalId: 'apr_w' },
  { kind: 'sleep', until: 1 },
] as ApprovalWait[];
const run = { id: 'run_1', messageId: 'msg_run_1', waits: [] };

it('what agents below ask is open while the run works, until it is decided, and in no other message', () => {
  const messages = [
    message('msg_run_0', [card('apr_old', 'pending')]),
    message('msg_run_1', [card('apr_1', 'approved'), card('apr_2', 'pending')]),
  ];
  expect(openApprovals({ waits: [], messages, run: { ...run, status: 'running' } })).toMatchObject([
    { approvalId: 'apr_2', isInner: true, answers: [], ...asked },
  ]);
  const waiting = openApprovals({ waits, messages, run: { ...run, status: 'waiting' } });
  expect(waiting.map(({ approvalId }) => approvalId)).toEqual(['apr_w']);
  expect(openApprovals({ waits: [], messages, run: null })).toEqual([]);
});
