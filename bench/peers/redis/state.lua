-- All read states of a user: EVALSHA state 2 cur:USER mentioned:USER USER
-- Answers for each channel: channel, cursor, unread, mentions.
local cursors = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local mentioned = {}
for _, channel in ipairs(redis.call('SMEMBERS', KEYS[2])) do mentioned[channel] = true end
local user, reply = ARGV[1], {}
for at = 1, #cursors, 2 do
  local channel, cursor = cursors[at], cursors[at + 1]
  local above = '(' .. cursor
  local mentions = 0
  if mentioned[channel] then
    mentions = redis.call('ZCOUNT', 'men:' .. user .. ':' .. channel, above, '+inf')
  end
  local to = at * 2 - 1
  reply[to], reply[to + 1] = channel, cursor
  reply[to + 2] = redis.call('ZCOUNT', 'msg:' .. channel, above, '+inf')
  reply[to + 3] = mentions
end
return reply
