-- Who has which Idempotency-Key, and how much memory their answers take. One call is one step: nothing comes between.
--
-- KEYS  1 the entry   2 when each entry ends (sorted set of tenant:name:bytes by milliseconds)   3 bytes by tenant, and of all
-- ARGV  1 what to do: claim, keep or free   2 tenant   3 name   4 what the claimer wrote into the entry
--       claim: 5 milliseconds   6 bytes to set aside   7 most bytes of a tenant   8 most bytes of all
--       keep:  5 milliseconds   6 bytes set aside   7 bytes it takes   8 the entry with the answer
--       free:  6 bytes set aside
--
-- All lie in one slot of a Cluster: the bound over all tenants is exact there too.

local entry, ends, held = KEYS[1], KEYS[2], KEYS[3]
local act, tenant, name, mine = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local ALL = 'all'
local FULL = 0.75 -- of Redis's memory: the rest is the windows'

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function add(whose, bytes)
  if redis.call('HINCRBY', held, whose, bytes) <= 0 then redis.call('HDEL', held, whose) end
end

local function release(whose, bytes)
  add(whose, -bytes)
  add(ALL, -bytes)
end

local function member(bytes) return tenant .. ':' .. name .. ':' .. bytes end

-- Entries end by themselves; what they took is given back here. More in a call than calls can add.
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 100)) do
  local whose, bytes = string.match(gone, '^([^:]+):[^:]+:(%d+)$')
  redis.call('ZREM', ends, gone)
  release(whose, tonumber(bytes))
end

if act == 'claim' then
  local found = redis.call('GET', entry)
  if found then return {'taken', found} end
  local bytes = tonumber(ARGV[6])
  local function left(whose, most) return most - tonumber(redis.call('HGET', held, whose) or 0) - bytes end
  local first = redis.call('ZRANGE', ends, 0, 0, 'WITHSCORES')
  local wait = first[2] and math.max(0, first[2] - now) or 0
  if left(tenant, tonumber(ARGV[7])) < 0 then return {'tenant-full', wait} end
  if left(ALL, tonumber(ARGV[8])) < 0 then return {'full', wait} end
  local memory = redis.pcall('INFO', 'memory') -- a table if this user may not ask
  if type(memory) == 'string' then
    local used, most = string.match(memory, 'used_memory:(%d+)'), string.match(memory, 'maxmemory:(%d+)')
    if used and most and tonumber(most) > 0 and used + bytes > most * FULL then return {'full', wait} end
  end
  redis.call('SET', entry, mine, 'PX', ARGV[5])
  redis.call('ZADD', ends, now + ARGV[5], member(bytes))
  add(tenant, bytes)
  add(ALL, bytes)
  return {'mine'}
end

-- It may have ended meanwhile, and be another's.
if redis.call('GET', entry) ~= mine then return {'lost'} end
local aside = tonumber(ARGV[6])
redis.call('ZREM', ends, member(aside))
if act == 'free' then
  redis.call('DEL', entry)
  release(tenant, aside)
  return {'freed'}
end
local bytes = tonumber(ARGV[7])
redis.call('SET', entry, ARGV[8], 'PX', ARGV[5])
redis.call('ZADD', ends, now + ARGV[5], member(bytes))
release(tenant, aside - bytes)
return {'kept'}
