-- Files a message: EVALSHA post 2 msg:CHANNEL named:CHANNEL CHANNEL ID AUTHOR [USER ...]
-- AUTHOR may be empty. The users named get a mention, the author reads up to the message.
-- Answers 1 when it is new, 0 when it is known.
local channel, id, author = ARGV[1], ARGV[2], ARGV[3]
if redis.call('ZADD', KEYS[1], 'NX', id, id) == 0 then return 0 end
for at = 4, #ARGV do
  local user = ARGV[at]
  if user ~= author then
    redis.call('ZADD', 'men:' .. user .. ':' .. channel, id, id)
    redis.call('SADD', 'mentioned:' .. user, channel)
  end
end
-- Whom it names, for a delete.
if #ARGV > 3 then redis.call('HSET', KEYS[2], id, table.concat(ARGV, ' ', 4)) end
if author ~= '' and redis.call('ZADD', 'cur:' .. author, 'GT', 'CH', id, channel) == 1 then
  redis.call('ZREMRANGEBYSCORE', 'men:' .. author .. ':' .. channel, '-inf', id)
end
return 1
