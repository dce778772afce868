/** The messages of an inbox, as a run's holder gets them. */

import type { EndStatus, Message, MessageKind } from '../../runtime/store.ts';
import { MOST_WITH_CLAIM } from '../rules.ts';
import { toPayload, toText } from './payloads.ts';
import type { Reply } from './script.ts';

export const MESSAGES: string = `
local function messagesFrom(row, from)
  if row.ih <= from then return {} end
  local found = call('LRANGE', P .. 'i:' .. row.id, 2 * from, -1)
  local messages = {}
  for i = 1, #found, 2 do messages[#messages + 1] = {from + (i - 1) / 2, found[i], payload(found[i + 1])} end
  return messages
end

-- False where a claim of many runs had better not bring them.
local function messagesWithClaim(row)
  if row.ih - row.se > ${MOST_WITH_CLAIM.messages} then return false end
  local messages, bytes = messagesFrom(row, row.se), 0
  for _, message in ipairs(messages) do bytes = bytes + #message[3] end
  return bytes <= ${MOST_WITH_CLAIM.bytes} and messages
end
`;

interface Header {
  id: string;
  kind: MessageKind;
  key?: string;
  status?: EndStatus;
  inputHash?: string;
  by?: string;
  at: number;
}

export function toMessages(reply: Reply): Message[] {
  return (reply as Reply[]).map((message) => {
    const [seq = null, header = null, payload = null] = message as Reply[];
    const { id, kind, key, status, inputHash, by, at } = JSON.parse(toText(header)) as Header;
    return {
      seq: Number(seq),
      id,
      kind,
      key: key ?? null,
      payload: toPayload(payload),
      status: status ?? null,
      inputHash: inputHash ?? null,
      by: by ?? null,
      at,
    };
  });
}
