"""Which form is cheaper, script or pipeline? `cd bench && python3 -m peers.redis.measure [--users N] [--channels N]`

Starts a redis-server of its own with redis.conf (and nothing on disk, so that only the commands are
compared), fills it, and takes turns. The figure is the server's own processor time for each piece of
work, which a busy machine changes less than the clock.
"""

import argparse
import pathlib
import random
import statistics
import subprocess
import tempfile
import time

from peers.redis.resp import Client, pack

HERE = pathlib.Path(__file__).parent
BATCH = 16

# For comparison only; the other scripts expect the cursors in a sorted set.
HASH_ACK = """
local cursor = redis.call('HGET', KEYS[1], ARGV[1])
if cursor and tonumber(cursor) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[2])
return 1
"""


class Server:
    """A redis-server in a directory that goes away with it."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory()
        port = free_port()
        self.process = subprocess.Popen(
            ["redis-server", str(HERE / "redis.conf"), "--bind", "127.0.0.1", "--port", str(port),
             "--dir", self.dir.name, "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
        )
        self.client = connected(port)
        self.scripts = {
            path.stem: self.client.call("SCRIPT", "LOAD", path.read_bytes())
            for path in HERE.glob("*.lua")
        }

    def stop(self):
        self.client.close()
        self.process.terminate()
        self.process.wait()
        self.dir.cleanup()

    def info(self, section, field):
        text = self.client.call("INFO", section).decode()
        return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)[field]

    def cpu_us(self):
        return 1e6 * (float(self.info("cpu", "used_cpu_user")) + float(self.info("cpu", "used_cpu_sys")))

    def script(self, name, keys, *args):
        return pack("EVALSHA", self.scripts[name], len(keys), *keys, *args)


def free_port():
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def connected(port):
    for _ in range(200):
        try:
            return Client(port)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise SystemExit("redis-server does not start")


class Work:
    """What is done to the server: each method returns the packed commands of one piece of work."""

    def __init__(self, server, users, channels, messages):
        self.server, self.users, self.messages = server, users, messages
        self.channels = [f"c{number}" for number in range(channels)]
        self.last = messages
        self.random = random.Random(1)
        self.hash_ack = server.client.call("SCRIPT", "LOAD", HASH_ACK)

    def fill(self):
        """Every user is in all channels, with cursors anywhere and a mention here and there."""
        for channel in self.channels:
            parts = [part for id in range(1, self.messages + 1) for part in (id, id)]
            self.server.client.call("ZADD", f"msg:{channel}", *parts)
        for user in range(self.users):
            cursors = {channel: self.random.randrange(self.messages) for channel in self.channels}
            flat = [part for pair in cursors.items() for part in pair]
            packed = [pack("HSET", f"hash:{user}", *flat), pack("ZADD", f"cur:{user}", *reversed(flat))]
            for channel in self.random.sample(self.channels, max(1, len(self.channels) // 50)):
                packed.append(pack("ZADD", f"men:{user}:{channel}", self.messages, self.messages))
                packed.append(pack("SADD", f"mentioned:{user}", channel))
            self.server.client.pipeline(packed)

    def fill_naive(self):
        """The same members with the counters of naive.lua, and a look that these count at all."""
        for user in range(self.users):
            self.server.client.pipeline(
                [self.server.script("naive", [], "join", channel, user) for channel in self.channels])
        self.server.client.pipeline(
            [self.server.script("naive", [], "post", self.channels[0], 0, 1) for _ in range(3)]
            + [self.server.script("naive", [], "read", 2, self.channels[0])])
        counts = [self.server.client.call("HGET", key, self.channels[0])
                  for key in ("unread:0", "unread:1", "unread:2", "mentions:1")]
        if counts != [b"0", b"3", b"0", b"3"]:
            raise SystemExit(f"naive counters: {counts}")

    def naive_read(self):
        user, channel = self.anyone()
        return [self.server.script("naive", [], "read", user, channel)]

    def naive_post(self):
        user, channel = self.anyone()
        return [self.server.script("naive", [], "post", channel, "", user)]

    def naive_state(self):
        user, _ = self.anyone()
        return [self.server.script("naive", [], "state", user)]

    def anyone(self):
        return self.random.randrange(self.users), self.random.choice(self.channels)

    def ack_script(self):
        user, channel = self.anyone()
        self.last += 1
        keys = [f"cur:{user}", f"men:{user}:{channel}", f"mentioned:{user}"]
        return [self.server.script("ack", keys, channel, self.last)]

    def ack_pipeline(self):
        user, channel = self.anyone()
        self.last += 1
        return [pack("ZADD", f"cur:{user}", "GT", "CH", self.last, channel),
                pack("ZREMRANGEBYSCORE", f"men:{user}:{channel}", "-inf", self.last)]

    def ack_hash_script(self):
        """The same with the cursors in a hash, which has no command that only raises."""
        user, channel = self.anyone()
        self.last += 1
        return [pack("EVALSHA", self.hash_ack, 2, f"hash:{user}", f"men:{user}:{channel}", channel, self.last)]

    def ack_hash_unguarded(self):
        """What is often written instead: a late ack takes the cursor back."""
        user, channel = self.anyone()
        self.last += 1
        return [pack("HSET", f"hash:{user}", channel, self.last),
                pack("ZREMRANGEBYSCORE", f"men:{user}:{channel}", "-inf", self.last)]

    def post_script(self):
        user, channel = self.anyone()
        self.last += 1
        return [self.server.script("post", [f"msg:{channel}", f"named:{channel}"], channel, self.last,
                                   "", user)]

    def post_pipeline(self):
        user, channel = self.anyone()
        self.last += 1
        return [pack("ZADD", f"msg:{channel}", "NX", self.last, self.last),
                pack("ZADD", f"men:{user}:{channel}", self.last, self.last),
                pack("SADD", f"mentioned:{user}", channel),
                pack("HSET", f"named:{channel}", self.last, user)]

    def state_script(self):
        user, _ = self.anyone()
        return [self.server.script("state", [f"cur:{user}", f"mentioned:{user}"], user)]

    def state_pipeline(self):
        """Two round trips; the first is done here, so that this is the second."""
        user, _ = self.anyone()
        cursors, mentioned = self.server.client.pipeline(
            [pack("ZRANGE", f"cur:{user}", 0, -1, "WITHSCORES"), pack("SMEMBERS", f"mentioned:{user}")])
        pairs = list(zip(cursors[::2], cursors[1::2]))
        packed = [pack("ZCOUNT", b"msg:" + channel, b"(" + cursor, "+inf") for channel, cursor in pairs]
        at = dict(pairs)
        packed += [pack("ZCOUNT", b"men:%d:%s" % (user, channel), b"(" + at[channel], "+inf")
                   for channel in mentioned]
        return packed

    def same_state(self):
        """The two forms of state answer the same of every user."""
        for user in range(self.users):
            self.random.seed(user)
            flat = self.server.client.pipeline(self.state_script())[0]
            self.random.seed(user)
            counts = self.server.client.pipeline(self.state_pipeline())
            found = [int(number) for number in flat[2::4]]
            if found != counts[:len(found)] or sum(flat[3::4]) != sum(counts[len(found):]):
                raise SystemExit("script and pipeline differ")


def turn(work, kind, pieces):
    """Processor time of the server for one piece of work, in microseconds."""
    make = getattr(work, kind)
    if kind == "state_pipeline":
        before = work.server.cpu_us()
        for _ in range(pieces):
            work.server.client.pipeline(make())
        return (work.server.cpu_us() - before) / pieces
    packed = [make() for _ in range(pieces)]
    before = work.server.cpu_us()
    for at in range(0, pieces, BATCH):
        work.server.client.pipeline([one for piece in packed[at:at + BATCH] for one in piece])
    return (work.server.cpu_us() - before) / pieces


def memory(server, pattern, count):
    """Bytes of the keys of one kind, for each of so many entries."""
    total = sum(server.client.call("MEMORY", "USAGE", key, "SAMPLES", 0)
                for key in server.client.call("KEYS", pattern))
    return total / count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--channels", type=int, default=200)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    server = Server()
    try:
        work = Work(server, options.users, options.channels, options.messages)
        work.fill()
        work.same_state()
        work.fill_naive()
        states = options.users * options.channels
        print(f"cursor in a hash {memory(server, 'hash:*', states):.1f} B, "
              f"in a sorted set {memory(server, 'cur:*', states):.1f} B; a message "
              f"{memory(server, 'msg:*', options.channels * options.messages):.1f} B")
        kinds = {"ack_script": 20_000, "ack_pipeline": 20_000, "ack_hash_script": 20_000,
                 "ack_hash_unguarded": 20_000, "post_script": 20_000, "post_pipeline": 20_000,
                 "state_script": 300, "state_pipeline": 300,
                 "naive_read": 20_000, "naive_post": 200, "naive_state": 300}
        taken = {name: [] for name in kinds}
        for _ in range(options.turns):
            for name, pieces in kinds.items():
                taken[name].append(turn(work, name, pieces))
        for name, times in taken.items():
            print(f"{name:18} {statistics.median(times):8.2f} us  ({min(times):.2f} to {max(times):.2f})")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
