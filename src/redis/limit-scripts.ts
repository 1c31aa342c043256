// Both scripts run on one thread, Redis' own: nothing comes in between what they read and what they write. All keys have
// one hash tag, so that they lie on one machine of a cluster. Times are Redis' own: the machines' clocks don't matter.

/** What both begin with: the time, and who is alive. KEYS[1] is the list of machines, ARGV[1] this one's run. */
const beginning = `
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local second = math.floor(ms / 1000)
local part = ms / 1000 - second
local isNew = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0
if isNew and mayNotBeNew then return { -1 } end
redis.call('HSET', KEYS[1], ARGV[1], ms + tonumber(ARGV[2]))
local alive, machines = {}, 0
local list = redis.call('HGETALL', KEYS[1])
for i = 1, #list, 2 do
  if tonumber(list[i + 1]) > ms then alive[list[i]] = true; machines = machines + 1
  else redis.call('HDEL', KEYS[1], list[i]) end
end
local function moneyOf(key)
  local used, pairs_ = 0, redis.call('HGETALL', key)
  for i = 1, #pairs_, 2 do
    local field, value = pairs_[i], tonumber(pairs_[i + 1])
    if string.sub(field, 1, 2) == 's:' then used = used + value
    elseif alive[string.sub(field, 3)] then used = used + value
    else redis.call('HDEL', key, field) end
  end
  return used
end
`;

/**
 * Counts all claims or none. Of a machine that Redis doesn't know it counts nothing, and answers -1: what that one has
 * counted already has to be told first.
 * What this machine has paid by its own books is never less here: so a memory that was lost gives nothing out again.
 * ARGV: run, ms it is alive, whose ledger it is, then kind, limit, amount and paid of each claim; its key is KEYS[1 + n].
 */
export const takeScript = `local mayNotBeNew = true${beginning}
local used, refused = {}, {}
for n = 1, #KEYS - 1 do
  local key, kind = KEYS[n + 1], ARGV[n * 4]
  local limit, amount, paid = tonumber(ARGV[n * 4 + 1]), tonumber(ARGV[n * 4 + 2]), tonumber(ARGV[n * 4 + 3])
  local sum, wait = 0, -1
  if kind == 'window' then
    local counts, pairs_ = {}, redis.call('HGETALL', key)
    for i = 1, #pairs_, 2 do
      local at, value = tonumber(pairs_[i]), tonumber(pairs_[i + 1])
      if at < second - 60 then redis.call('HDEL', key, pairs_[i])
      else counts[at] = value; sum = sum + value end
    end
    local excess = sum + amount - limit
    if excess > 0.000001 and amount <= limit then
      wait = 61000
      for i = 0, 60 do
        excess = excess - (counts[second - 60 + i] or 0)
        if excess <= 0 then wait = (1 - part) * 1000 + i * 1000; break end
      end
    end
  elseif kind == 'flight' then
    local pairs_ = redis.call('HGETALL', key)
    for i = 1, #pairs_, 2 do
      if alive[pairs_[i]] then sum = sum + tonumber(pairs_[i + 1]) else redis.call('HDEL', key, pairs_[i]) end
    end
  else
    local field = 's:' .. ARGV[3]
    if paid > tonumber(redis.call('HGET', key, field) or '0') then
      redis.call('HSET', key, field, paid)
      redis.call('EXPIRE', key, 3888000)
    end
    sum = moneyOf(key)
  end
  used[n] = tostring(sum)
  if sum + amount > limit + 0.000001 then
    refused[#refused + 1] = n
    refused[#refused + 1] = math.ceil(wait)
  end
end
if #refused == 0 then
  for n = 1, #KEYS - 1 do
    local key, kind, amount = KEYS[n + 1], ARGV[n * 4], ARGV[n * 4 + 2]
    if kind == 'window' then
      redis.call('HINCRBY', key, second, amount)
      redis.call('EXPIRE', key, 120)
    elseif kind == 'flight' then
      redis.call('HINCRBY', key, ARGV[1], amount)
      redis.call('EXPIRE', key, 120)
    else
      redis.call('HINCRBY', key, 'h:' .. ARGV[1], amount)
      redis.call('EXPIRE', key, 3888000)
    end
  end
end
return { second, machines, used, refused }`;

/**
 * Ends claims, or, where what is given back is below 0, counts them. ARGV: run, then kind, second, what is given back,
 * what was paid, and by whom; the key is KEYS[n].
 */
export const changeScript = `
local function lower(key, field, amount)
  local value = tonumber(redis.call('HGET', key, field) or '0')
  if amount > 0 and value <= amount then redis.call('HDEL', key, field)
  elseif amount ~= 0 then redis.call('HINCRBY', key, field, -amount) end
end
for n = 1, #KEYS do
  local key, base = KEYS[n], n * 5 - 3
  local kind, back = ARGV[base], tonumber(ARGV[base + 2])
  if kind == 'window' then
    if redis.call('EXISTS', key) == 1 then lower(key, ARGV[base + 1], back) end
  elseif kind == 'flight' then
    lower(key, ARGV[1], back)
    redis.call('EXPIRE', key, 120)
  else
    lower(key, 'h:' .. ARGV[1], back)
    redis.call('HINCRBY', key, 's:' .. ARGV[base + 4], ARGV[base + 3])
    redis.call('EXPIRE', key, 3888000)
  end
end
return 1`;

/**
 * What this machine has counted takes the place of what is known of it, unless it is below 0; what it has paid never
 * becomes less.
 * ARGV: run, ms it is alive, whose ledger it is, then kind, now or age, and paid or amount; the key is KEYS[1 + n].
 */
export const reportScript = `local mayNotBeNew = false${beginning}
local used = {}
for n = 1, #KEYS - 1 do
  local key, kind, base = KEYS[n + 1], ARGV[n * 3 + 1], n * 3 + 2
  local first, other = tonumber(ARGV[base]), tonumber(ARGV[base + 1])
  if kind == 'window' then
    redis.call('HINCRBY', key, second - first, other)
    redis.call('EXPIRE', key, 120)
    used[n] = '0'
  elseif kind == 'flight' then
    if first > 0 then redis.call('HSET', key, ARGV[1], first) elseif first == 0 then redis.call('HDEL', key, ARGV[1]) end
    redis.call('EXPIRE', key, 120)
    used[n] = '0'
  else
    local held = 'h:' .. ARGV[1]
    if first > 0 then redis.call('HSET', key, held, first) elseif first == 0 then redis.call('HDEL', key, held) end
    local field = 's:' .. ARGV[3]
    if other > tonumber(redis.call('HGET', key, field) or '0') then redis.call('HSET', key, field, other) end
    if redis.call('EXISTS', key) == 1 then redis.call('EXPIRE', key, 3888000) end
    used[n] = tostring(moneyOf(key))
  end
end
return { isNew and 1 or 0, machines, used }`;
