"""What changes the registry in one step, as Lua that runs inside of Redis; all times are of Redis' clock."""

from __future__ import annotations

# Who holds an address: a lease that has not ended, with a record that can be read.
_HOLDER = """
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local function holder(address)
  local ends = redis.call('ZSCORE', KEYS[2], address)
  if not ends or tonumber(ends) <= now_ms then return '' end
  local readable, record = pcall(cjson.decode, redis.call('HGET', KEYS[1], address) or '')
  if readable and type(record) == 'table' and type(record.worker_id) == 'string' then return record.worker_id end
  return ''
end
"""

# KEYS: workers, leases, incarnation, changes.
# ARGV: address, worker id, record, lease in ms, whether another holder is to be put out ("1"), a new incarnation.
# Returns who held the address before ("" if it was free), and whether it is ours now.
RENEW = (
    _HOLDER
    + """
redis.call('SET', KEYS[3], ARGV[6], 'NX')
for _, address in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now_ms)) do
  redis.call('ZREM', KEYS[2], address)
  redis.call('HDEL', KEYS[1], address)
end
local before = holder(ARGV[1])
if before ~= '' and before ~= ARGV[2] and ARGV[5] ~= '1' then return {before, 0} end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], now_ms + ARGV[4], ARGV[1])
if before ~= ARGV[2] then redis.call('PUBLISH', KEYS[4], ARGV[1]) end
return {before, 1}
"""
)

# KEYS as above. ARGV: address, worker id. Takes away nothing that has become another worker's.
LEAVE = (
    _HOLDER
    + """
if holder(ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('PUBLISH', KEYS[4], ARGV[1])
return 1
"""
)
