"""Do the peers answer what Kidoku answers? `cd bench && python3 -m peers.check --kidoku BINARY`

Sends the same random histories to Kidoku and to every peer, and compares what each peer claims to know.
Ends with 1 and the first difference when there is one. Needs redis-server, PostgreSQL 15 and Go.
"""

import argparse
import pathlib
import random
import subprocess
import sys
import tempfile

from peers.check.history import CHANNELS, USERS, History
from peers.check.servers import PEERS, all_servers

EXACT = {"cursor", "unread", "mentions"}

# For each history: its operations by weight, how they come, and which fields and replies each kind of
# peer must have right. A peer that is not named does not take part, as it has no such operation.
CASES = {
    "everybody reads to the end": dict(
        kinds={"post": 6, "ack": 4}, options={"to_the_end": True},
        fields={"redis": EXACT, "postgres": EXACT, "go-lru": {"cursor", "has_unread", "mentions"}},
        replies={"redis", "postgres", "go-lru"}, receipts=True),
    "parts, late messages, the same again": dict(
        kinds={"post": 6, "ack": 4}, options={"late": True, "again": True},
        fields={"redis": EXACT, "postgres": EXACT, "go-lru": {"cursor", "has_unread"}},
        replies={"redis", "postgres"}, receipts=True),
    "deletes": dict(
        kinds={"post": 6, "ack": 3, "delete": 2}, options={"late": True, "again": True},
        fields={"redis": EXACT, "postgres": EXACT, "go-lru": {"cursor"}},
        replies={"redis", "postgres"}, receipts=False),
    "mark unread and edits": dict(
        kinds={"post": 6, "ack": 3, "delete": 1, "edit": 2, "unread": 2}, options={"late": True},
        fields={"postgres": EXACT}, replies={"postgres"}, receipts=False),
}


def family(server):
    return server.name.split(",")[0]


def expected(row, fields):
    """What Kidoku's row says in the words of a peer."""
    row = row | {"has_unread": row["unread"] > 0}
    return {field: row[field] for field in fields}


class Comparison:
    """One history, told to all who take part."""

    def __init__(self, case, servers, seed):
        self.case = case
        self.history = History(seed, case["kinds"], **case["options"])
        self.random = random.Random(seed)
        self.kidoku = servers[0]
        self.peers = [one for one in servers[1:] if family(one) in case["fields"]]
        self.compared = 0

    def run(self, operations):
        for number in range(operations):
            operation = self.history.next()
            said = self.kidoku.apply(operation)
            for peer in self.peers:
                answer = peer.apply(operation)
                if family(peer) in self.case["replies"]:
                    self.same(peer, operation, answer, said)
            if number % 25 == 24:
                self.numbers()

    def numbers(self):
        for user in USERS:
            states = self.kidoku.state(user)
            for peer in self.peers:
                fields = self.case["fields"][family(peer)]
                want = {channel: expected(row, fields) for channel, row in states.items()}
                found = {channel: {field: row[field] for field in fields}
                         for channel, row in peer.state(user).items()}
                self.same(peer, f"state of {user}", found, want)
                if family(peer) == "postgres":
                    self.same(peer, f"badge of {user}", peer.badge(user), self.kidoku.badge(user))
        if self.case["receipts"]:
            self.receipts()

    def receipts(self):
        channel = self.random.choice([one for one in CHANNELS if self.history.known[one]] or [None])
        if channel is None:
            return
        id = self.random.choice(list(self.history.known[channel]))
        for peer in self.peers:
            if family(peer) == "postgres":
                self.same(peer, f"readers of {id} in {channel}", peer.seen(channel, id),
                          self.kidoku.seen(channel, id))

    def same(self, peer, what, found, want):
        self.compared += 1
        if found != want:
            raise AssertionError(f"{peer.name}: {what}: {found}, kidoku says {want}")


def golru_in(dir):
    binary = dir / "golru"
    subprocess.run(["go", "build", "-o", binary, "."], cwd=PEERS / "go-lru", check=True)
    return binary


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kidoku", required=True, type=pathlib.Path, help="the binary")
    parser.add_argument("--operations", type=int, default=1500, help="of each history")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for title, case in CASES.items():
        with tempfile.TemporaryDirectory() as made:
            # Not to be read by others as it is made, and PostgreSQL is another user when root runs this.
            pathlib.Path(made).chmod(0o755)
            dir = pathlib.Path(made)
            with all_servers(options.kidoku.resolve(), golru_in(dir), dir) as servers:
                one = Comparison(case, servers, options.seed)
                try:
                    one.run(options.operations)
                except AssertionError as difference:
                    sys.exit(f"{title} (seed {options.seed}): {difference}")
                names = ", ".join(peer.name for peer in one.peers)
                print(f"{title}: {one.compared} answers the same, {options.operations} operations: {names}", flush=True)


if __name__ == "__main__":
    main()
