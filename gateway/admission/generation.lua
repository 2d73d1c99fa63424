-- Step 1 of 7: which generation of windows a server has, and who agrees to it.
--
-- What a server holds may be lost: it restarts, is flushed, fails over to one that had not heard all, or its clock is put
-- forward and keys expire. The gateway's processes remember what they let in. So a server's windows have a generation, a
-- random number that is kept beside them: where it is missing or another, or a process has reason to doubt it (another
-- server answers, its clock was set), there is none until every process has reported what it remembers (report.lua).
-- Whoever is waited for is known to the processes alone, from their pulses: a server that lost all lost that too.
--
-- A process that joins decides nothing before a member has heard of it: else nobody would wait for it.
--
-- KEYS   generation (a string), members (a hash: process, time of its last pulse; negative if it has left, with half a
--        microsecond if it only joins), recovery (a hash: its number, which becomes the generation; want:<process>,
--        done:<process>; how many reports came)
-- ARGV   operation, process, earliest and latest time in us, then what the operation takes
--
-- leave                                      Answer { 1, time }
-- pulse  generation                          Answer { 1, time, the other members ... } or { -1, time }
-- ask    doubted, reported, number, least, force, wanted ...
--        doubted   a generation or recovery that must not be gone on with, or nothing
--        reported  the recovery to which this process has reported all, or nothing
--        number    of a recovery, if one is to be begun
--        least     processes that must have reported
--        force     1: those that are missing have been waited for long enough
--        Answer { 1, time, generation, time of another member's last pulse or 0, whether this process is a member }
--        or { 0, time, recovery, how far it is, 0 }
--
-- All of them: { -2, time } if the time is not between earliest and latest.

local KEEP_US, LIFE_MS = 10000000, 60000

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local operation, process = ARGV[1], ARGV[2]
local generation, members, recovery = KEYS[1], KEYS[2], KEYS[3]

if operation == 'leave' then
  redis.call('HSET', members, process, -now)
  return { 1, now }
end
if now < tonumber(ARGV[3]) or now > tonumber(ARGV[4]) then return { -2, now } end

if operation == 'pulse' then
  if redis.call('GET', generation) ~= ARGV[5] then return { -1, now } end
  redis.call('HSET', members, process, now)
  local answer, all = { 1, now }, redis.call('HGETALL', members)
  for i = 1, #all, 2 do
    local seen = tonumber(all[i + 1])
    if math.abs(now - math.abs(seen)) > KEEP_US then
      redis.call('HDEL', members, all[i])
    elseif seen > 0 and all[i] ~= process then
      answer[#answer + 1] = all[i]
    end
  end
  return answer
end

local own = tonumber(redis.call('HGET', members, process) or 0)
local member = own > 0 and own % 1 == 0
if not member then redis.call('HSET', members, process, now + 0.5) end

local doubted, reported, number, least, force = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9] == '1'
local current, running = redis.call('GET', generation), redis.call('HGET', recovery, 'number')
if current and current == doubted then
  redis.call('DEL', generation)
  current = false
end
if current then
  local seen, all = 0, redis.call('HGETALL', members)
  for i = 1, #all, 2 do
    local at = tonumber(all[i + 1])
    if all[i] ~= process and at % 1 == 0 then seen = math.max(seen, at) end
  end
  return { 1, now, current, seen, member and 1 or 0 }
end
if not running or running == doubted then
  running = number
  redis.call('DEL', recovery)
  redis.call('HSET', recovery, 'number', running)
end
redis.call('PEXPIRE', recovery, LIFE_MS)
for i = 10, #ARGV do
  local seen = redis.call('HGET', members, ARGV[i])
  if not seen or tonumber(seen) > 0 then redis.call('HSET', recovery, 'want:' .. ARGV[i], 1) end
end
if reported == running then redis.call('HSET', recovery, 'done:' .. process, 1) end

local done, missing, far, all = 0, 0, 0, redis.call('HGETALL', recovery)
for i = 1, #all, 2 do
  local kind, name = all[i]:match('^(%a+):?(.*)$')
  if kind == 'done' then
    done = done + 1
  elseif kind == 'want' and redis.call('HEXISTS', recovery, 'done:' .. name) == 0 then
    missing = missing + 1
  elseif kind == 'reports' then
    far = tonumber(all[i + 1])
  end
end
if reported == running and (force or (missing == 0 and done >= least)) then
  redis.call('SET', generation, running)
  redis.call('DEL', recovery)
  for i = 1, #all, 2 do
    local name = all[i]:match('^done:(.*)$')
    if name then redis.call('HSET', members, name, now) end
  end
  return { 1, now, running, now, 1 }
end
return { 0, now, running, far + done, 0 }
