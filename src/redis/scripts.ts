/**
 * KEYS: the value, what is handed over, the lease. ARGV: the ticket, how long a lease lasts (ms), whether what is handed
 * over will do. Gives the value, or whose turn it is. Where Redis is full or read-only it gives no leases: then
 * everybody asks for himself.
 */
export const look = `
local value = redis.call('GET', KEYS[1])
if value then return {1, value} end
if ARGV[3] == '1' then
  local handed = redis.call('GET', KEYS[2])
  if handed then return {2, handed} end
end
if ARGV[1] == '' then return {3} end
local holder = redis.call('GET', KEYS[3])
if holder and holder ~= ARGV[1] then return {4} end
redis.pcall('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
return {3}
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

/** KEYS: the lease. ARGV: the ticket, how much longer it lasts (ms). */
export const renew = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
`;
