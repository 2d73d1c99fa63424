-- Step 1 of 7: all windows of one caller and its concurrency lease, decided and charged in one atomic call.
--
-- A window is cut into n sub-buckets of time. The present one and the n before it count whole, the oldest too although it
-- is partly over: no true window ever holds more than its limit. Either every window is charged, or none.
--
-- A window is kept as a ring in a hash: fields 0 .. n hold the charges of bucket number (mod n + 1); `new` and `old` are the
-- numbers of the newest and the oldest bucket with a charge, `sum` is that of all. So a call reads three fields, and walks
-- the ring only when its oldest bucket is over or when it must say for how long it refuses.
--
-- The time is Redis's own, in microseconds. If it went back (a failover to a server with an earlier clock), then the newest
-- bucket lies in the future: all charges are moved to the present one, as if they came now. So nothing re-opens early, and
-- nothing stays shut for longer than one window.
--
-- KEYS   one hash a window, then the set of leases (member: a lease's random name; score: its deadline)
-- ARGV   one JSON list (a client spends longer on many arguments than the server on reading one): cost, lease name, lease
--        length in us, concurrency (0 is unbounded), and a list of windows, each a list: limit, length of a sub-bucket in
--        us, n, and what was charged elsewhere while Redis was away
-- Answer { admitted 0/1, time us, leases held, then for each window: room left, us until room comes back, refused 0/1 }
--        Room comes back: for a window that refuses, when this cost fits; else when its oldest bucket is over.

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local cost, name, length, concurrency, limits = unpack(cjson.decode(ARGV[1]))
local leases = KEYS[#KEYS]

local function text(number)
  return string.format('%.0f', number) -- tostring() writes 1e+15
end

-- The charges of buckets first .. last, in order; false where there is none.
local function ring(key, n, first, last)
  local fields = {}
  for number = first, last do
    fields[#fields + 1] = text(number % (n + 1))
  end
  return redis.call('HMGET', key, unpack(fields)), fields
end

-- Drop what is over. Returns the sum of what is left and the numbers of its oldest and newest bucket.
local function expire(key, n, sum, old, new, present)
  local first = present - n
  if new < first then
    redis.call('DEL', key)
    return 0, present, present
  end
  local charges, fields = ring(key, n, old, new)
  local dead = {}
  for i, charge in ipairs(charges) do
    if charge then
      old = new - #charges + i
      if old >= first then break end
      sum = sum - charge
      dead[#dead + 1] = fields[i]
    end
  end
  redis.call('HDEL', key, unpack(dead))
  return sum, old, new
end

-- When enough buckets are over for `excess` to fit: the number of the last of them.
local function until_room(key, n, old, new, excess)
  for i, charge in ipairs(ring(key, n, old, new)) do
    excess = excess - (charge or 0)
    if excess <= 0 then return old + i - 1 end
  end
  return new
end

local admitted, held = 1, 0
if concurrency > 0 then
  redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
  held = redis.call('ZCARD', leases)
  if held >= concurrency then admitted = 0 end
end

local windows, answer = {}, { 0, now, 0 }
for i = 1, #KEYS - 1 do
  local key = KEYS[i]
  local limit, size, n, debt = unpack(limits[i])
  local present, life = math.floor(now / size), math.ceil((n + 1) * size / 1000)

  local stored = redis.call('HMGET', key, 'new', 'old', 'sum')
  local new, old, sum = tonumber(stored[1]) or present, tonumber(stored[2]) or present, tonumber(stored[3]) or 0
  if new > present then
    redis.call('DEL', key)
    new, old, sum, debt = present, present, 0, debt + sum
  elseif old < present - n then
    sum, old, new = expire(key, n, sum, old, new, present)
    if sum > 0 then redis.call('HSET', key, 'old', text(old), 'sum', text(sum)) end
  end
  if debt > 0 then
    new, sum = present, sum + debt
    redis.call('HINCRBY', key, text(present % (n + 1)), debt)
    redis.call('HSET', key, 'new', text(present), 'old', text(old), 'sum', text(sum))
    redis.call('PEXPIRE', key, life)
  end

  local refused, last = 0, old
  if sum + cost > limit then
    refused, admitted = 1, 0
    last = until_room(key, n, old, new, sum + cost - limit)
  end
  windows[i] = { present = present, old = old, sum = sum, n = n, life = life, fresh = tonumber(stored[1]) ~= present }
  answer[3 * i + 1], answer[3 * i + 2], answer[3 * i + 3] = limit - sum, (last + n + 1) * size - now, refused
end

if admitted == 1 then
  for i, window in ipairs(windows) do
    local key, bucket = KEYS[i], text(window.present)
    redis.call('HINCRBY', key, text(window.present % (window.n + 1)), cost)
    redis.call('HSET', key, 'new', bucket, 'old', text(window.old), 'sum', text(window.sum + cost))
    if window.fresh then redis.call('PEXPIRE', key, window.life) end -- once a bucket is enough: it lives n + 1 of them
    answer[3 * i + 1] = answer[3 * i + 1] - cost
  end
  if concurrency > 0 then
    redis.call('ZADD', leases, now + length, name)
    if redis.call('PTTL', leases) < length / 1000 then redis.call('PEXPIRE', leases, math.ceil(length / 500)) end
    held = held + 1
  end
end
answer[1], answer[3] = admitted, held
return answer
