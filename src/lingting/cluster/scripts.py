"""What the directory does in Redis, each in one step: Lua scripts that may be repeated without harm.

`KEYS[1]` is the hash of a stream (`owner`, `address`, `epoch`), `KEYS[2]` its unconfirmed entries by number. An epoch
is Redis's clock in microseconds when the stream was claimed, and above the one before: no two claims share one, not
even of streams of one name after one another.
"""

from __future__ import annotations

CLAIM = """
-- epoch expected, owner, address, seconds: {won, epoch, owner, address, entries that are kept}
local found = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'address')
local epoch = found[1] or '0'
if epoch ~= ARGV[1] then return {0, epoch, found[2] or '', found[3] or '', 0} end
local time = redis.call('TIME')
local next = math.max(time[1] * 1000000 + time[2], tonumber(epoch) + 1)
epoch = string.format('%.0f', next)
redis.call('HSET', KEYS[1], 'epoch', epoch, 'owner', ARGV[2], 'address', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return {1, epoch, ARGV[2], ARGV[3], redis.call('HLEN', KEYS[2])}
"""
"""Take a stream that is still at the expected epoch, 0 for nobody's; else say whose it is."""

_FENCE = """
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return 2 end
if tonumber(epoch) > tonumber(ARGV[1]) then return 0 end
if epoch ~= ARGV[1] then return 2 end
"""
"""0 for whoever was replaced, 2 where Redis knows nothing of the claim."""

PUT = (
    _FENCE
    + """
-- epoch, seconds, number, entry, numbers that are needless: 1
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
for i = 5, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
"""
)
"""Keep an entry, and drop those that it makes needless: `put` and `confirm` in one."""

LOAD = (
    _FENCE
    + """
-- epoch: number, entry, number, entry …
return redis.call('HGETALL', KEYS[2])
"""
)

CHECK = _FENCE + "return 1"

END = (
    _FENCE
    + """
-- epoch: 1
redis.call('DEL', KEYS[1], KEYS[2])
return 1
"""
)
"""The stream is over, and nothing of it is kept."""

RELEASE = (
    _FENCE
    + """
-- epoch: 1
redis.call('HSET', KEYS[1], 'owner', '', 'address', '')
return 1
"""
)
"""Nobody owns the stream; what is kept stays."""

RESTORE = """
-- epoch, owner, address, seconds, whether Redis has lost everything, number, entry …: 1, or 0 for whoever was replaced
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch and ARGV[5] == '0' then return 0 end
if epoch and tonumber(epoch) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'owner', ARGV[2], 'address', ARGV[3])
redis.call('DEL', KEYS[2])
for i = 6, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return 1
"""
"""Write everything that an owner holds: entries that Redis could not take, or has lost."""

REGISTER = """
-- KEYS: seen, states; id, state, milliseconds that it is good for
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. (now - ARGV[3]))) do
    redis.call('ZREM', KEYS[1], gone)
    redis.call('HDEL', KEYS[2], gone)
end
return 1
"""

HOMES = """
-- KEYS: seen, states, life; milliseconds, a life: {life, state, state …} of those that were seen lately
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SETNX', KEYS[3], ARGV[2])
local found = {redis.call('GET', KEYS[3])}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[1], '+inf')) do
    found[#found + 1] = redis.call('HGET', KEYS[2], id)
end
return found
"""
"""The homes, and a random text that is another one when Redis has lost everything."""
