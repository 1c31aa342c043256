/** What processes are told on is named by this and the process. */
export const channelPrefix = 'mizan:cache:2:node:';

/** Says that a process listens to a call, and tells the one whose call it is where that is news. */
const present = `
local function timeMs()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function present(ears, member, ms, holder, lease)
  local known = redis.pcall('ZSCORE', ears, member)
  redis.pcall('ZADD', ears, timeMs() + ms, member)
  redis.pcall('PEXPIRE', ears, ms)
  if not known then redis.pcall('PUBLISH', '${channelPrefix}' .. string.match(holder, '^[^/]*'), lease) end
end
`;

/** Who listens, as far as is known. */
const listeners = `
local function listeners(ears)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local all = redis.pcall('ZRANGEBYSCORE', ears, now, '+inf')
  if all.err then return {} end
  return all
end
`;

/**
 * KEYS: the value, what is handed over, the lease, who listens. ARGV: the ticket, how long a lease lasts (ms), whether
 * what is handed over will do, who asks, for how long that one listens (ms), whether the value is too old: then whose
 * turn it is comes with it. Gives the value, or whose turn it is. Where
 * Redis is full or read-only it gives no leases: then everybody asks for himself.
 */
export const look = `${present}
local value = redis.call('GET', KEYS[1])
if value and ARGV[6] ~= '1' then return {1, value} end
if ARGV[3] == '1' then
  local handed = redis.call('GET', KEYS[2])
  if handed then return {2, handed} end
end
if ARGV[1] == '' then return {3} end
local holder = redis.call('GET', KEYS[3])
if holder and holder ~= ARGV[1] then
  present(KEYS[4], ARGV[4], tonumber(ARGV[5]), holder, KEYS[3])
  return {4, holder, value}
end
redis.pcall('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
return {3, false, value}
`;

/**
 * KEYS: the same. ARGV: the ticket, which of the first two keys is set (0 for none), to what, for how long (ms). The
 * lease is given back, where it is still held.
 */
export const land = `
if ARGV[2] ~= '0' then redis.pcall('SET', KEYS[tonumber(ARGV[2])], ARGV[3], 'PX', ARGV[4]) end
if redis.call('GET', KEYS[3]) == ARGV[1] then redis.call('DEL', KEYS[3]) end
return 1
`;

/**
 * KEYS: the lease, who listens. ARGV: the ticket, how much longer it lasts (ms). A lease that was lost is taken again
 * where nobody else has it. Gives who listens.
 */
export const renew = `${listeners}
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then redis.pcall('PEXPIRE', KEYS[1], ARGV[2])
elseif not holder then redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return listeners(KEYS[2])
`;

/**
 * KEYS: the pieces, who listens, the lease. ARGV: the number of the piece, the piece, how long they last (ms), the first
 * number that is still kept. A piece that is there already is not there twice. Gives who listens, after telling them.
 */
export const append = `${listeners}
local added = redis.pcall('XADD', KEYS[1], ARGV[1] .. '-1', 'p', ARGV[2])
if type(added) == 'table' and added.err and not string.find(added.err, 'equal or smaller') then return added end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[4] .. '-0')
local all = listeners(KEYS[2])
for _, member in ipairs(all) do redis.pcall('PUBLISH', '${channelPrefix}' .. string.sub(member, 1, -2), KEYS[3]) end
return all
`;

/**
 * KEYS: the lease, who listens, the pieces. ARGV: whose call it is, who asks, for how long that one listens (ms), the
 * last number it has, how many are given at once. Gives whether the lease is held, and the next pieces with their numbers.
 */
export const hear = `${present}
local isHeld = 0
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then isHeld = 1 end
present(KEYS[2], ARGV[2], tonumber(ARGV[3]), ARGV[1], KEYS[1])
return {isHeld, redis.call('XRANGE', KEYS[3], '(' .. ARGV[4] .. '-1', '+', 'COUNT', ARGV[5])}
`;
