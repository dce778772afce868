/**
 * What all scripts share. A script is one transition: it reads, decides, changes rows in its own memory, and writes at the end; Redis
 * rolls nothing back. All keys begin with the namespace's hash tag, so they stand in one slot.
 *
 *  R1 Nothing is written before the last check that may refuse.
 *  R2 The server's clock decides, but where a test brings one.
 *  R3 A payload is stored behind a mark: `r` raw bytes, `t` the same where they are UTF-8 anyway, `6` as base64. A client that can only
 *     read text gets `r` as `t` where it is ASCII, else as `6`.
 *  R4 Hints are published by the script that makes the change, so they come after it.
 *  R5 What may be many goes to a command in parts: Lua's stack takes some 8,000 arguments, and an error in mid-script leaves half of it
 *     written (R1).
 *
 * | key | holds |
 * |---|---|
 * | `meta` | hash: the format, the secret, the counter of what was created |
 * | `r:<run>` | hash: the row of a run, and its streams as `s:<name>`: tail, closed, trimmed, by what, packed up to |
 * | `e:<run>`, `k:<run>` | list of events; sorted set of checkpoints |
 * | `i:<run>`, `d:<run>` | list of messages, each as header and payload; hash: their kinds by id |
 * | `c:<run>,<stream>` | sorted set of packs of chunks by the offset behind them: `first:count:bytes:at:` and the pack |
 * | `h:<token>`, `hn:<token>`, `hr:<run>` | hash: a hook; list of its notes; sorted set of the tokens of a run |
 * | `due:<queue>`, `sus:<queue>`, `lane:<queue>,<keys>` | sorted sets: `<order>:<run>` by due time, of those without keys of limits, of suspects, and of those with keys |
 * | `lanes:<queue>`, `asked:<queue>` | sorted set: lanes with keys by the due time of their first; hash: their limits |
 * | `uses` | hash: slots taken, begun in the window, and its end, by key of limits |
 * | `x:<name>` | for some minutes: an argument that is too large for one request |
 * | `n:<nonce>` | list of runs that a claim got |
 * | `t:<thread>`, `ta:<thread>`, `tq:<thread>`, `tu:<thread>` | of a thread and its tenant: its runs, the active one, those queued; user messages by id |
 * | `runs`, `live`, `ten:<tenant>`, `err:<code>`, `ch:<parent>` | sorted sets of runs by order of creation |
 * | `ended` | sorted set: `<order>:<run>` by end |
 * | `backlog` | hash: runs that have not ended by queue |
 * | `hooks`, `hopen`, `hth:<thread>` | sorted sets of tokens by order of creation |
 * | `streams` | sorted set of streams by order of creation |
 * | `p:<id>`, `parts` | hash: parts of large values; sorted set of their ids by when the last was put |
 * | `mi` | hash: in how many inboxes a message of an id is |
 * | `totals` | hash: sums of the ledger by scope |
 * | `ledger`, `lr:<run>`, `lt:<thread>`, `lten:<tenant>`, `l:<id>` | sorted sets of ledger rows by order; hash: a row |
 */

/** What a namespace's keys look like; a newer one is refused. */
export const FORMAT = 1;

export const PRELUDE = `
local P = string.sub(KEYS[1], 1, -5)
local env = cjson.decode(ARGV[1])
local req = cjson.decode(ARGV[2])
local call = redis.call
for place, name in pairs(env.staged or {}) do
  local stored = call('GET', P .. 'x:' .. name)
  if not stored then return redis.error_reply('TRYAGAIN what was staged for this call is gone') end
  ARGV[tonumber(place)] = stored
end
local now = env.now
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local hints, hinted = {}, {}
local function hint(kind, ...)
  local text, told = '{"kind":"' .. kind .. '"', {...}
  for i = 1, #told, 2 do text = text .. ',"' .. told[i] .. '":' .. cjson.encode(told[i + 1]) end
  text = text .. '}'
  if not hinted[text] then
    hinted[text] = true
    hints[#hints + 1] = text
  end
end

local function finish(answer)
  if #hints == 0 then return {answer, ''} end
  local told = '[' .. table.concat(hints, ',') .. ']'
  call('PUBLISH', P .. 'bell', env.me .. told)
  return {answer, told}
end

local BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
local function toBase64(bytes)
  local digit = {}
  for i = 0, 63 do digit[i] = string.sub(BASE64, i + 1, i + 1) end
  local out = {}
  for i = 1, #bytes, 3 do
    local a, b, c = string.byte(bytes, i, i + 2)
    local n = a * 65536 + (b or 0) * 256 + (c or 0)
    out[#out + 1] = digit[math.floor(n / 262144)] .. digit[math.floor(n / 4096) % 64]
      .. (b and digit[math.floor(n / 64) % 64] or '=') .. (c and digit[n % 64] or '=')
  end
  return table.concat(out)
end

local function payload(stored)
  if stored and env.text and string.byte(stored) == 114 then
    if not string.find(stored, '[\\128-\\255]') then return 't' .. string.sub(stored, 2) end
    return '6' .. toBase64(string.sub(stored, 2))
  end
  return stored or false
end

local function payloads(stored)
  if env.text then
    for i, one in ipairs(stored) do stored[i] = payload(one) end
  end
  return stored
end

local MOST_ARGUMENTS = 2000
local function inParts(list, use)
  for i = 1, #list, MOST_ARGUMENTS do use(unpack(list, i, math.min(#list, i + MOST_ARGUMENTS - 1))) end
end

local function nextOrder() return call('HINCRBY', P .. 'meta', 'order', 1) end
local function nested(first, second) return #first .. ':' .. first .. ':' .. second end
local function ordered(order, id) return string.format('%016d:', order) .. id end
`;
