"""Kidoku and the peers as processes of our own, all with the same few methods.

`apply(operation)` answers 1 or 0 as far as the peer knows whether something changed, `state(user)` what
the user sees in each channel, `seen(channel, id)` how many have read a message.
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import time

from peers.check.history import CHANNELS, USERS
from peers.redis.resp import Client, pack

PEERS = pathlib.Path(__file__).parent.parent
START_SECONDS_MAX = 30


def soon(make):
    """The first result of `make` that is no error, as a server needs a moment to start."""
    end = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            return make()
        except (OSError, ValueError):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def ended(process):
    process.terminate()
    process.wait()


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def map_of(flat):
    return {text(flat[at]): flat[at + 1] for at in range(0, len(flat), 2)}


class Kidoku:
    """The server all others are compared with."""

    name = "kidoku"

    def __init__(self, binary, dir, stack):
        process = subprocess.Popen(
            [binary, "serve", "--dev", "--data-dir", dir]
            + [part for port in ("resp", "http", "admin", "cluster")
               for part in (f"--{port}-listen", "127.0.0.1:0")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(ended, process)
        address = soon(lambda: json.loads((dir / "addresses.json").read_text())["resp"])
        self.client = soon(lambda: Client(int(address.rsplit(":", 1)[1])))
        stack.callback(self.client.close)
        for channel in CHANNELS:
            self.client.call("KD.CHANNEL", channel, "RECEIPTS", "COUNT")
            self.client.call("KD.JOIN", channel, *USERS, "AT", "START")

    def apply(self, operation):
        kind, *rest = operation
        return getattr(self, kind)(*rest)

    def post(self, channel, id, author, named):
        by = ["BY", author] if author else []
        mentions = ["MENTIONS", len(named), *named] if named else []
        return self.client.call("KD.POST", channel, id, *by, *mentions)

    def ack(self, user, channel, id):
        return self.client.call("KD.ACK", user, channel, id)

    def delete(self, channel, ids):
        return self.client.call("KD.DELETE", channel, *ids)

    def edit(self, channel, id, version, named):
        mentions = ["MENTIONS", len(named), *named] if named else []
        self.client.call("KD.EDIT", channel, id, "VERSION", version, *mentions)

    def unread(self, user, channel, id):
        self.client.call("KD.UNREAD", user, channel, id)

    def state(self, user):
        rows = map_of(self.client.call("KD.STATE", user))["channels"]
        return {text(row["channel"]): {key: row[key] for key in ("cursor", "unread", "mentions")}
                for row in map(map_of, rows)}

    def badge(self, user):
        found = map_of(self.client.call("KD.BADGE", user))
        return [found[key] for key in ("unread", "mentions", "channels")]

    def seen(self, channel, id):
        return map_of(self.client.call("KD.SEEN", channel, id))["count"]


class Redis:
    """The scripts, or the pipelines that do the same."""

    def __init__(self, dir, stack, pipelined):
        self.name = "redis, pipelines" if pipelined else "redis, scripts"
        self.pipelined = pipelined
        port = free_port()
        process = subprocess.Popen(
            ["redis-server", PEERS / "redis/redis.conf", "--bind", "127.0.0.1", "--port", str(port), "--dir", dir],
            stdout=subprocess.DEVNULL)
        stack.callback(ended, process)
        self.client = soon(lambda: Client(port))
        stack.callback(self.client.close)
        self.scripts = {path.stem: self.client.call("SCRIPT", "LOAD", path.read_bytes())
                        for path in (PEERS / "redis").glob("*.lua")}
        for user in USERS:
            for channel in CHANNELS:
                self.client.call("ZADD", f"cur:{user}", "NX", 0, channel)

    def script(self, name, keys, *args):
        return self.client.call("EVALSHA", self.scripts[name], len(keys), *keys, *args)

    def apply(self, operation):
        kind, *rest = operation
        return getattr(self, kind)(*rest)

    def post(self, channel, id, author, named):
        return self.script("post", [f"msg:{channel}", f"named:{channel}"], channel, id, author, *named)

    def ack(self, user, channel, id):
        men = f"men:{user}:{channel}"
        if not self.pipelined:
            return self.script("ack", [f"cur:{user}", men, f"mentioned:{user}"], channel, id)
        return self.client.pipeline([pack("ZADD", f"cur:{user}", "GT", "CH", id, channel),
                                     pack("ZREMRANGEBYSCORE", men, "-inf", id)])[0]

    def delete(self, channel, ids):
        return self.script("delete", [f"msg:{channel}", f"named:{channel}"], channel, *ids)

    def state(self, user):
        if self.pipelined:
            return self.state_pipelined(user)
        flat = self.script("state", [f"cur:{user}", f"mentioned:{user}"], user)
        return {text(flat[at]): {"cursor": int(flat[at + 1]), "unread": flat[at + 2], "mentions": flat[at + 3]}
                for at in range(0, len(flat), 4)}

    def state_pipelined(self, user):
        flat, mentioned = self.client.pipeline(
            [pack("ZRANGE", f"cur:{user}", 0, -1, "WITHSCORES"), pack("SMEMBERS", f"mentioned:{user}")])
        cursors = {text(channel): int(cursor) for channel, cursor in zip(flat[::2], flat[1::2])}
        mentioned = [text(channel) for channel in mentioned]
        counts = iter(self.client.pipeline(
            [pack("ZCOUNT", f"msg:{channel}", f"({cursor}", "+inf") for channel, cursor in cursors.items()]
            + [pack("ZCOUNT", f"men:{user}:{channel}", f"({cursors[channel]}", "+inf") for channel in mentioned]))
        rows = {channel: {"cursor": cursor, "unread": next(counts), "mentions": 0}
                for channel, cursor in cursors.items()}
        for channel in mentioned:
            rows[channel]["mentions"] = next(counts)
        return rows


class Postgres:
    """The prepared statements, through a psql that stays open."""

    name = "postgres"

    def __init__(self, dir, stack):
        os.chmod(dir, 0o755)
        script, port = str(PEERS / "postgres/cluster.sh"), str(free_port())
        stack.callback(subprocess.run, [script, "remove", dir], check=True)
        subprocess.run([script, "make", dir, port], check=True)
        self.psql = subprocess.Popen(
            ["psql", "-h", dir / "socket", "-p", port, "-U", "postgres", "-AtX", "-F", " ",
             "-v", "ON_ERROR_STOP=1", "peers"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.callback(self.close)
        self.run((PEERS / "postgres/statements.sql").read_text())
        for user in USERS:
            for channel in CHANNELS:
                self.run(f"EXECUTE join_channel({user}, {channel}, 0);")

    def close(self):
        self.psql.stdin.close()
        self.psql.wait()
        self.psql.stdout.close()

    def run(self, sql):
        self.psql.stdin.write(f"{sql}\nSELECT 'end of the answer';\n")
        self.psql.stdin.flush()
        lines = []
        while (line := self.psql.stdout.readline().strip()) != "end of the answer":
            if not line and self.psql.poll() is not None:
                raise ConnectionError(f"psql ended at {sql}")
            lines.append(line)
        return lines

    def apply(self, operation):
        kind, *rest = operation
        return getattr(self, kind)(*rest)

    def post(self, channel, id, author, named):
        if named:
            return int(self.run(f"EXECUTE post_naming({channel}, {id}, {author or 0}, '{{{','.join(named)}}}');")[0])
        return int(self.run(f"EXECUTE post({channel}, {id}, {author or 0});")[0])

    def ack(self, user, channel, id):
        return int(self.run(f"EXECUTE ack({user}, {channel}, {id});")[0].split()[-1])

    def delete(self, channel, ids):
        return int(self.run(f"EXECUTE delete_messages({channel}, '{{{','.join(map(str, ids))}}}');")[0])

    def edit(self, channel, id, version, named):
        self.run(f"EXECUTE edit({channel}, {id}, '{{{','.join(named)}}}');")

    def unread(self, user, channel, id):
        self.run(f"EXECUTE mark_unread({user}, {channel}, {id});")

    def state(self, user):
        rows = [line.split() for line in self.run(f"EXECUTE state({user});")]
        for row in rows:
            if self.run(f"EXECUTE count_one({user}, {row[0]});") != [" ".join(row)]:
                raise AssertionError(f"postgres: state and count_one differ for {user} in {row[0]}")
        return {row[0]: dict(zip(("cursor", "unread", "mentions"), map(int, row[1:]))) for row in rows}

    def badge(self, user):
        return [int(number) for number in self.run(f"EXECUTE badge({user});")[0].split()]

    def seen(self, channel, id):
        return int(self.run(f"EXECUTE seen({channel}, {id});")[0])


class GoTwin:
    """The service in Go, which knows whether something is unread and not how much."""

    def __init__(self, binary, dir, stack, layout):
        self.name = f"go-lru, {layout}"
        # So small that users are evicted and loaded all the time.
        process = subprocess.Popen(
            [binary, "-listen", "127.0.0.1:0", "-dir", dir, "-layout", layout, "-partitions", "2",
             "-capacity", "8", "-flush-interval", "200ms"],
            stdout=subprocess.DEVNULL)
        stack.callback(ended, process)
        self.client = soon(lambda: Client(int((dir / "address").read_text().rsplit(":", 1)[1])))
        stack.callback(self.client.close)

    def apply(self, operation):
        kind, *rest = operation
        return getattr(self, kind)(*rest)

    def post(self, channel, id, author, named):
        by = ["BY", author] if author else []
        return self.client.call("POST", channel, id, *by, *named)

    def ack(self, user, channel, id):
        return self.client.call("ACK", user, channel, id)

    def delete(self, channel, ids):
        """Counters can not take back what a message added."""

    def state(self, user):
        flat = self.client.call("STATE", user)
        rows = {flat[at]: flat[at:at + 4] for at in range(0, len(flat), 4)}
        for channel in CHANNELS:
            count = self.client.call("COUNT", user, channel)
            if rows.setdefault(int(channel), count) != count:
                raise AssertionError(f"go-lru: STATE and COUNT differ for {user} in {channel}")
        return {str(channel): {"cursor": cursor, "has_unread": last > cursor, "mentions": mentions}
                for channel, cursor, mentions, last in rows.values()}


@contextlib.contextmanager
def all_servers(kidoku, golru, dir):
    """All of them, fresh; whatever happens, they end."""
    with contextlib.ExitStack() as stack:
        def place(name):
            made = dir / name
            made.mkdir()
            return made

        yield [Kidoku(kidoku, place("kidoku"), stack),
               Redis(place("redis-scripts"), stack, pipelined=False),
               Redis(place("redis-pipelines"), stack, pipelined=True),
               Postgres(place("postgres"), stack),
               GoTwin(golru, place("go-map"), stack, "map"),
               GoTwin(golru, place("go-slice"), stack, "slice")]
