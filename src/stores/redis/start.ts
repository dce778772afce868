/** Starting runs. */

import type { ClaimOptions, NewRun, StartResult } from '../../runtime/store.ts';
import { TAKE } from './claim.ts';
import { ENDINGS } from './end.ts';
import { HOOKS } from './hooks.ts';
import { INBOX } from './inbox.ts';
import { toText } from './payloads.ts';
import { describeRun, RUNS, toRun } from './runs.ts';
import { toRequest, toScript } from './script.ts';
import type { Reply, Request, Script } from './script.ts';
import { STREAM_ROWS } from './streams.ts';

/** S15: a start inside a commit; what exists is left as it is, and a busy thread queues. */
export const START_FROM_COMMIT = `
local function startFromCommit(new)
  if getRun(new.id) then return end
  new['in'] = ARGV[new['in']]
  insertRun(new, activeOf(new) and 'queued' or 'ready')
end
`;

const START_SOURCE = `
local function steeredInto(new)
  local known = new.th and call('HGET', P .. 'tu:' .. threadKey(new), new.id)
  if not known then return nil end
  local taker
  for _, one in ipairs(cjson.decode(known)) do
    if not taker or one[1] < taker[1] then taker = one end
  end
  return getRun(taker[2], true)
end

local function create(new, st)
  new['in'] = ARGV[new['in']]
  local row = insertRun(new, st)
  local isClaimed = req.claim and st == 'ready' and not row.lm
  if isClaimed then take(row, req.claim) end
  return {'created', toReply(row, true), isClaimed and 1 or 0}
end

local function startBusy(new, active)
  local busy = new.busy or 'reject'
  if busy == 'reject' then return {'busy', wholeReply(active)} end
  if busy == 'queue' then return create(new, 'queued') end
  if busy == 'steer' then
    if hasMessage(active, new.id) then return {'conflict', wholeReply(active)} end
    appendMessage(active, {id = new.id, kind = 'user', inputHash = new.hs}, ARGV[new['in']])
    return {'steered', wholeReply(active)}
  end
  cancelRun(active)
  return create(new, activeOf(new) and 'queued' or 'ready')
end

local function start(new)
  local known = getRun(new.id, true)
  if known then
    return {known.wf == new.wf and known.hs == new.hs and 'exists' or 'conflict', toReply(known)}
  end
  local steered = steeredInto(new)
  if steered then return {'steered', toReply(steered)} end
  local active = activeOf(new)
  if active then return startBusy(new, active) end
  return create(new, 'ready')
end

local answers = {}
for i, new in ipairs(req.items) do answers[i] = start(new) end
flush()
return finish({now, answers})
`;

export const START: Script = toScript('start', [RUNS, INBOX, HOOKS, STREAM_ROWS, ENDINGS, TAKE, START_SOURCE]);

export function describeStart(runs: NewRun[], claim: ClaimOptions | undefined): Request {
  return toRequest((place) => ({
    items: runs.map((run) => describeRun(run, place)),
    claim: claim && { nonce: claim.nonce, leaseMs: claim.leaseMs },
  }));
}

export function toStartResults(reply: Reply, runs: NewRun[]): StartResult[] {
  const [now, answers] = reply as [number, Reply[]];
  return answers.map((answer, index) => {
    const [kindReply = null, row = null, claimed = null] = answer as Reply[];
    const kind = toText(kindReply) as StartResult['kind'];
    if (kind === 'created') {
      const run = toRun(row, runs[index]?.input.slice());
      return { kind, run, token: claimed === 1 ? { epoch: run.epoch, nonce: run.nonce ?? '' } : null, now };
    }
    const run = toRun(row);
    return kind === 'busy' || kind === 'steered' ? { kind, active: run } : { kind, run };
  });
}
