-- The counters most people write first: one number for each member and channel, raised by every
-- message and set to 0 by reading. As EVALSHA naive 0 WORK ..., with WORK one of
--   join CHANNEL USER            post CHANNEL AUTHOR [USER ...]
--   read USER CHANNEL            state USER
-- A post costs as much as the channel has members. A message sent twice counts twice, a delete takes
-- nothing back, a read clears what came while it was under way, and how far somebody has read is
-- not known at all.
local work = {}

function work.join(channel, user)
  redis.call('SADD', 'members:' .. channel, user)
  return redis.call('HSETNX', 'unread:' .. user, channel, 0)
end

function work.post(channel, author, ...)
  for _, user in ipairs(redis.call('SMEMBERS', 'members:' .. channel)) do
    if user ~= author then redis.call('HINCRBY', 'unread:' .. user, channel, 1) end
  end
  for _, user in ipairs({...}) do redis.call('HINCRBY', 'mentions:' .. user, channel, 1) end
  return 1
end

function work.read(user, channel)
  redis.call('HSET', 'unread:' .. user, channel, 0)
  return redis.call('HDEL', 'mentions:' .. user, channel)
end

function work.state(user)
  return {redis.call('HGETALL', 'unread:' .. user), redis.call('HGETALL', 'mentions:' .. user)}
end

return work[ARGV[1]](unpack(ARGV, 2))
