-- Takes messages out of every count: EVALSHA delete 2 msg:CHANNEL named:CHANNEL CHANNEL ID [ID ...]
-- Answers how many there were.
local channel, gone = ARGV[1], 0
for at = 2, #ARGV do
  local id = ARGV[at]
  gone = gone + redis.call('ZREM', KEYS[1], id)
  local named = redis.call('HGET', KEYS[2], id)
  if named then
    for user in string.gmatch(named, '%S+') do
      redis.call('ZREM', 'men:' .. user .. ':' .. channel, id)
    end
    redis.call('HDEL', KEYS[2], id)
  end
end
return gone
