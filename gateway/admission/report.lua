-- Step 1 of 7: what one process remembers of one caller, told to a server that may have lost it.
--
-- Two counts of a window meet: what the server still holds, which may lack charges, and the sum of what the processes
-- report, which lacks those of processes that are gone. Neither holds too much. So for each moment the larger of the two
-- sums of all since then is taken: no less than was let in, as far as either knows it, and nothing twice.
-- A process that comes when the generation is settled already cannot be compared so: what it reports is added.
--
-- KEYS   one string a window (as in window.lua), one a window for the sum of the reports, then the set of leases
-- ARGV   one string: recovery or generation (8 bytes), 1 if it is a generation, earliest and latest time in us; for each
--        window: length of a sub-bucket in us, n, how many charges, and of each its age in us and its cost; how many
--        leases, and of each the us left and its name; then the names of the generation's and the recovery's key
-- Answer { 1, time } or { -1, time }: another generation or recovery; { -2, time }: another time

local pack, unpack = struct.pack, struct.unpack
local HEAD, HEAD_BYTES, SUM, SUM_BYTES = '>I1I1I8', 10, '>I8', 8
local CELL = { '>I1', '>I2', '>I3', '>I4', '>I5' } -- by its bytes
local SUM_MS = 60000 -- longest that one process may take

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local number, late, earliest, latest, at = unpack('>c8I1I8I8', ARGV[1])
local current = redis.call('GET', ARGV[2])
if late == 1 and current ~= number then return { -1, now } end
if late == 0 and (current or redis.call('HGET', ARGV[3], 'number') ~= number) then return { -1, now } end
if now < earliest or now > latest then return { -2, now } end

-- The charges by bucket, the present one last.
local function read(name, size, n, present)
  local cells = {}
  for i = 1, n + 1 do cells[i] = 0 end
  local stored = redis.pcall('GET', name)
  if not stored then return cells end
  if stored.err then -- a hash: the form before this one
    cells[n + 1] = tonumber(redis.call('HGET', name, 'sum'))
    return cells
  end
  local width, _, newest = unpack(HEAD, stored)
  if newest > present or #stored ~= HEAD_BYTES + (n + 1) * width + SUM_BYTES then
    cells[n + 1] = unpack(SUM, stored, #stored - SUM_BYTES + 1)
    return cells
  end
  for i = math.max(1, 1 + present - newest), n + 1 do
    cells[i - (present - newest)] = unpack(CELL[width], stored, HEAD_BYTES + (i - 1) * width + 1)
  end
  return cells
end

local function write(name, cells, present, life)
  local sum, oldest, width, parts = 0, nil, 1, {}
  for i = 1, #cells do
    sum = sum + cells[i]
    if cells[i] > 0 then oldest = oldest or i - 1 end
  end
  if sum == 0 then return end
  while sum >= 256 ^ width do width = width + 1 end
  for i = 1, #cells do parts[i] = pack(CELL[width], cells[i]) end
  local stored = pack(HEAD, width, oldest, present) .. table.concat(parts) .. pack(SUM, sum)
  redis.call('SET', name, stored, 'PX', life)
end

-- For each moment the larger of the two sums of all since then.
local function larger(one, other)
  local cells, first, second, above = {}, 0, 0, 0
  for i = #one, 1, -1 do
    first, second = first + one[i], second + other[i]
    local most = math.max(first, second)
    cells[i], above = most - above, most
  end
  return cells
end

local windows = (#KEYS - 1) / 2
for w = 1, windows do
  local size, n, count
  size, n, count, at = unpack('>I8I1I1', ARGV[1], at)
  local present = (now - now % size) / size
  local held = read(KEYS[w], size, n, present)
  local told = late == 1 and held or read(KEYS[windows + w], size, n, present)
  for _ = 1, count do
    local age, cost
    age, cost, at = unpack('>I8I8', ARGV[1], at)
    local charged = now - age
    local cell = n + 1 - (present - (charged - charged % size) / size)
    if cell >= 1 then told[cell] = told[cell] + cost end
  end
  if late == 0 then
    write(KEYS[windows + w], told, present, SUM_MS)
    told = larger(held, told)
  end
  write(KEYS[w], told, present, math.ceil((n + 1) * size / 1000))
end

local count, life
count, at = unpack('>I4', ARGV[1], at)
for _ = 1, count do
  local left, name
  left, name, at = unpack('>I8c16', ARGV[1], at)
  redis.call('ZADD', KEYS[#KEYS], now + left, name)
  life = math.max(life or redis.call('PTTL', KEYS[#KEYS]), math.ceil(left / 500))
end
if life then redis.call('PEXPIRE', KEYS[#KEYS], life) end
if late == 0 then redis.call('HINCRBY', ARGV[3], 'reports', 1) end
return { 1, now }
