-- Reads a channel up to a message: EVALSHA ack 3 cur:USER men:USER:CHANNEL mentioned:USER CHANNEL ID
-- Answers 1 when the cursor moved, 0 when it stood there or further.
local moved = redis.call('ZADD', KEYS[1], 'GT', 'CH', ARGV[2], ARGV[1])
if moved == 1 and redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[2]) > 0
    and redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('SREM', KEYS[3], ARGV[1])
end
return moved
