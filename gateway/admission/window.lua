-- Step 1 of 7: all windows of one caller and its concurrency lease, decided and charged in one atomic call.
--
-- A window is cut into n sub-buckets of time. The present one and the n before it count whole, the oldest too although it
-- is partly over: no true window ever holds more than its limit. Either every window is charged, or none.
--
-- A window is kept as one string of big-endian numbers:
--
--     bytes of a cell (1) | place of the oldest charge, from 0 (1) | number of the newest bucket (8)
--     n + 1 cells, one a bucket: its charges, the oldest first     | sum of all cells (8)
--
-- Time moves it by cutting cells off its front. What changes between two calls in one bucket is the last cell and the sum
-- alone: they are written over. Cells are as wide as the sum needs. So a window of any limit is one read and one write of
-- fewer than 300 bytes: a script's time goes into redis.call and into new strings, far less into arithmetic.
--
-- The time is Redis's own, in microseconds. If it went back (a failover to a server with an earlier clock), then the newest
-- bucket lies in the future: all charges are moved to the present one, as if they came now. So nothing re-opens early, and
-- nothing stays shut for longer than one window. What is stored in another form is taken over in the same way.
--
-- It decides nothing where the caller's gateway and Redis do not know each other: if Redis is of another generation than
-- the gateway (it lost what it held, see generation.lua), or if its clock is not where the gateway's own says it must be
-- (it was set, or the call was on its way for too long).
--
-- KEYS   one string a window, then the set of leases (member: a lease's random name; score: its deadline)
-- ARGV   one string (a client spends longer on many arguments than the server on reading one): generation (8 bytes),
--        earliest and latest time in us, cost, lease length in us, concurrency (0 is unbounded), the lease's name (16
--        bytes), and for each window: limit, length of a sub-bucket in us, n, and what was charged elsewhere while Redis
--        was away; then the name of the generation's key, which in a Cluster is on this node, but in another slot
-- Answer { admitted 0/1, time us, leases held, then for each window: room left, us until room comes back, refused 0/1 }
--        Room comes back: for a window that refuses, when this cost fits; else when its oldest bucket is over.
--        { -1, time us }: another generation. { -2, time us }: another time.

local pack, unpack = struct.pack, struct.unpack
local HEAD, HEAD_BYTES, SUM, SUM_BYTES = '>I1I1I8', 10, '>I8', 8
local CELL = { '>I1', '>I2', '>I3', '>I4', '>I5' } -- by its bytes
local LAST_AND_SUM = { '>I1I8', '>I2I8', '>I3I8', '>I4I8', '>I5I8' }

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local generation, earliest, latest, cost, length, concurrency, name, at = unpack('>c8I8I8I4I8I4c16', ARGV[1])
if redis.call('GET', ARGV[2]) ~= generation then return { -1, now } end
if now < earliest or now > latest then return { -2, now } end
local leases = KEYS[#KEYS]

-- The sum of the first `count` cells.
local function total(cells, width, count)
  local sum = 0
  for first = 1, count * width, width do
    sum = sum + unpack(CELL[width], cells, first)
  end
  return sum
end

-- The place of the cell with which the sum of the first ones reaches `enough`; the last one's if none before it does.
local function reaching(cells, width, enough)
  for first = 1, #cells, width do
    enough = enough - unpack(CELL[width], cells, first)
    if enough <= 0 then return (first - 1) / width end
  end
  return #cells / width - 1
end

-- The cells `over` buckets later, their sum, and the place of the oldest charge among them.
local function advance(cells, width, over, sum, oldest)
  local count = #cells / width
  over = math.min(over, count)
  if oldest < over then sum = sum - total(cells, width, over) end
  cells = cells:sub(over * width + 1) .. ('\0'):rep(over * width)
  if sum == 0 then return cells, 0, count - 1 end
  return cells, sum, oldest < over and reaching(cells, width, 1) or oldest - over
end

local admitted, held = 1, 0
if concurrency > 0 then
  held = redis.call('ZCOUNT', leases, now + 1, '+inf')
  if held >= concurrency then admitted = 0 end
end

local fronts, offsets, ends, lives, answer = {}, {}, {}, {}, { 0, now, 0 }
for i = 1, #KEYS - 1 do
  local limit, size, n, debt
  limit, size, n, debt, at = unpack('>I4I8I1I8', ARGV[1], at)
  local present, life = (now - now % size) / size, math.ceil((n + 1) * size / 1000)

  local width, oldest, newest, sum = 1, n, present, 0
  local stored, cells = redis.pcall('GET', KEYS[i])
  if stored and stored.err then -- a hash: the form before this one
    stored, debt = false, debt + redis.call('HGET', KEYS[i], 'sum')
  elseif stored then
    width, oldest, newest = unpack(HEAD, stored)
    sum = unpack(SUM, stored, #stored - SUM_BYTES + 1)
    if newest > present or #stored ~= HEAD_BYTES + (n + 1) * width + SUM_BYTES then
      stored, debt, width, oldest, sum = false, debt + sum, 1, n, 0
    end
  end

  local need = sum + debt + cost
  if not stored then
    cells = ('\0'):rep(n + 1)
  elseif newest < present or debt > 0 or need >= 256 ^ width then -- more changes than its end
    cells = stored:sub(HEAD_BYTES + 1, -SUM_BYTES - 1)
    if newest < present then cells, sum, oldest = advance(cells, width, present - newest, sum, oldest) end
  end
  while need >= 256 ^ width do
    cells, width = cells:gsub(('.'):rep(width), '\0%0'), width + 1
  end

  local front, offset = false, HEAD_BYTES + n * width
  local last = unpack(CELL[width], cells or stored, cells and n * width + 1 or offset + 1)
  if cells then front = pack(HEAD, width, oldest, present) .. cells:sub(1, n * width) end
  if debt > 0 then
    last, sum = last + debt, sum + debt
    redis.call('SET', KEYS[i], front .. pack(LAST_AND_SUM[width], last, sum), 'PX', life)
  end

  local refused, back = 0, oldest
  if sum + cost > limit then
    refused, admitted = 1, 0
    back = reaching(cells or stored:sub(HEAD_BYTES + 1, -SUM_BYTES - 1), width, sum + cost - limit)
  end
  fronts[i], offsets[i], lives[i] = front, offset, life
  ends[i] = pack(LAST_AND_SUM[width], last + cost, sum + cost)
  answer[3 * i + 1], answer[3 * i + 2], answer[3 * i + 3] = limit - sum, (present + 1 + back) * size - now, refused
end

if admitted == 1 then
  for i = 1, #ends do
    if fronts[i] then
      redis.call('SET', KEYS[i], fronts[i] .. ends[i], 'PX', lives[i])
    else
      redis.call('SETRANGE', KEYS[i], offsets[i], ends[i]) -- it lives on from the first charge of its newest bucket
    end
    answer[3 * i + 1] = answer[3 * i + 1] - cost
  end
  if concurrency > 0 then
    redis.call('ZADD', leases, now + length, name)
    if redis.call('PTTL', leases) < length / 1000 then -- now and then: those that nobody released are taken out
      redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
      redis.call('PEXPIRE', leases, math.ceil(length / 500))
    end
    held = held + 1
  end
end
answer[1], answer[3] = admitted, held
return answer
