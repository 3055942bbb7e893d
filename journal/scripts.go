package journal

import "github.com/redis/go-redis/v9"

// The steps that must happen at once are Lua. All their keys carry the hash
// tag of the shard. TIME and a write in one script need Redis 5 or newer.

// otherServer is a function of Lua that says whether the server has another
// run_id than the one that is asked for. Only inside of a script is it sure that
// the same server answers and acts. It takes about 5 us.
const otherServer = `
local function otherServer(id)
  return id ~= '' and not string.find(redis.call('INFO', 'server'), 'run_id:' .. id, 1, true)
end
`

// lastScript reads what is known of devices; nothing at all on another server.
//
//	KEYS last
//	ARGV run_id ("" for any), devices
var lastScript = redis.NewScript(otherServer + `
if otherServer(ARGV[1]) then return {} end
return redis.call('HMGET', KEYS[1], unpack(ARGV, 2))
`)

// earlierSlots are functions of Lua about the slots that were finished before
// the last one, as parseLast reads them. stepsOf takes over what an older program
// wrote. stepsWith puts the last one in front and keeps seven.
const earlierSlots = `
local function stepsOf(text, last)
  local before = string.match(text, '^%d+$')
  if not before then return string.match(text, '^[-%d]*%.?$') or '' end
  before = tonumber(before)
  if before == 0 then return '.' end
  if before >= last then return '' end
  return string.format('-%.0f', last - before)
end
local function stepsWith(last, slot, steps)
  if last == 0 then return '.' end
  local kept, n = string.format('-%.0f', slot - last), 1
  for step in string.gmatch(steps, '%-%d+') do
    n = n + 1
    if n > 7 then return kept end
    kept = kept .. step
  end
  if string.sub(steps, -1) == '.' then kept = kept .. '.' end
  return kept
end
`

// appendScript guards and appends.
//
//	KEYS stream, last, moves
//	ARGV device, earliest ms, latest ms (0 and 0 without samples), slot, outcome, payload ("" without samples), run_id ("" for any), again or "", shard, checksum of the payload
//
// It returns 0 accepted, 1 future, 2 stale, 3 not the server of that run_id, 4 the device is being moved, 100 and a shard:
// it belongs there. Stale is a sample less than 1 s
// after the device's last one, because the recorder compares whole seconds, an older slot, and the last one once more,
// unless it is the same outcome without samples: that one may be the retry of an append whose answer was lost.
// The hash holds the slots that were finished before the last one too: the last
// one alone cannot say whether a slot in front of it was finished.
// XADD stands first: when Redis is full it is refused, and the script ends there.
var appendScript = redis.NewScript(otherServer + earlierSlots + `
if otherServer(ARGV[7]) then return 3 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local moved = redis.call('HGET', KEYS[3], ARGV[1])
if moved then
  local home, held = string.match(moved, '^(%d+):?(%d*)')
  if held and held ~= '' and tonumber(held) > now then return 4 end
  if home and home ~= ARGV[9] then return 100 + tonumber(home) end
end
local earliest, latest, slot = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local sample, finished, outcome, steps = 0, 0, '', '.'
local held = redis.call('HGET', KEYS[2], ARGV[1])
if held then
  local s, f, o, rest = string.match(held, '^(%d+):(%d+):(%a*):?(.*)$')
  if s then
    sample, finished, outcome = tonumber(s), tonumber(f), o
    steps = stepsOf(rest, finished)
  end
end
if latest > now + 2000 then return 1 end
if slot < finished then return 2 end
if slot == finished and finished > 0 and ARGV[8] == '' then
  if ARGV[6] == '' and outcome == ARGV[5] then return 0 end
  return 2
end
if ARGV[6] ~= '' then
  if sample > 0 and earliest < sample + 1000 then return 2 end
  redis.call('XADD', KEYS[1], '*', 'e', ARGV[6], 'c', ARGV[10])
  sample = latest
end
if slot > finished then steps = stepsWith(finished, slot, steps) end
local value = string.format('%.0f:%.0f:%s', sample, slot, ARGV[5])
if steps ~= '' then value = value .. ':' .. steps end
redis.call('HSET', KEYS[2], ARGV[1], value)
return 0
`)

// storeScript writes the state of a target, if the lease is still held.
//
//	KEYS lease, cursor, targets
//	ARGV token, target, acked, durable, updates, instance, report on the write-out
//
// A program without the report leaves the last one as it is; its time says how old it is.
var storeScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[2], 'acked', ARGV[3], 'durable', ARGV[4], 'updates', ARGV[5], 'instance', ARGV[6],
  'writeout', ARGV[7], 'writeout_at', now)
redis.call('SADD', KEYS[3], ARGV[2])
return 1
`)

// tombstoneScript adds a tombstone and removes those whose time is over.
//
//	KEYS tombstones, last
//	ARGV device, lifetime ms
var tombstoneScript = redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 0
`)

// firstScript is the id of the first entry from a place on, "" when there is
// none. XRANGE alone would send the entry as well, some megabytes perhaps.
//
//	KEYS stream
//	ARGV place
var firstScript = redis.NewScript(`
local found = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', 1)
if found[1] then return found[1][1] end
return ''
`)

// cutScript removes the oldest entries of a log that is too long, a number of them
// a call, because it has them all in memory, and counts which of them were durable, acknowledged, or neither. It only
// trims, which Redis allows when it is full too.
//
//	KEYS stream
//	ARGV entries to keep, durable ms, durable seq, acked ms, acked seq, entries a call at most
var cutScript = redis.NewScript(cutText)

const cutText = `
local length = redis.call('XLEN', KEYS[1])
local excess = math.min(length - tonumber(ARGV[1]), tonumber(ARGV[6]))
local counts = {0, 0, 0}
if excess <= 0 then return counts end
local function within(ms, seq, i)
  local m, s = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  return ms < m or (ms == m and seq <= s)
end
for _, message in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', excess)) do
  local ms, seq = string.match(message[1], '^(%d+)-(%d+)$')
  ms, seq = tonumber(ms), tonumber(seq)
  local kind = 3
  if within(ms, seq, 2) then kind = 1 elseif within(ms, seq, 4) then kind = 2 end
  counts[kind] = counts[kind] + 1
end
redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', length - excess)
return counts
`
