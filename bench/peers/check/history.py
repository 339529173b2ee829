"""Random histories of a chat, each with what it leaves out, so that a peer is only asked what it claims."""

import random

USERS = [str(number) for number in range(1, 8)]
CHANNELS = [str(number) for number in range(101, 106)]


class History:
    """Makes one operation after another, as tuples that begin with their kind."""

    def __init__(self, seed, kinds, late=False, again=False, to_the_end=False):
        self.random = random.Random(seed)
        self.kinds = kinds
        # Messages that arrive behind later ones.
        self.late = late
        # Messages that arrive twice.
        self.again = again
        # Readers read all there is, and never a part.
        self.to_the_end = to_the_end
        self.known = {channel: {} for channel in CHANNELS}
        self.gone = {channel: set() for channel in CHANNELS}
        self.edits = {}
        self.cursors = {}

    def next(self):
        kind = self.random.choices(list(self.kinds), weights=self.kinds.values())[0]
        return getattr(self, kind)()

    def tail(self, channel):
        return max(self.known[channel], default=0)

    def some(self, names, most):
        return [self.random.choice(names) for _ in range(self.random.randrange(most + 1))]

    def post(self):
        channel = self.random.choice(CHANNELS)
        known, tail = self.known[channel], self.tail(channel)
        if self.again and known and self.random.random() < 0.1:
            again = self.random.choice(list(known))
            if again not in self.gone[channel]:
                return ("post", channel, again, *known[again])
        id = tail + self.random.randrange(1, 4)
        if self.late and self.random.random() < 0.2:
            id = self.random.randrange(1, tail + 2)
            if id in known:
                id = tail + 1
        author = self.random.choice(USERS + [""])
        named = self.some(USERS, 3) if self.random.random() < 0.4 else []
        known[id] = (author, named)
        if author:
            self.moved(author, channel, id)
        return ("post", channel, id, author, named)

    def moved(self, user, channel, id):
        self.cursors[user, channel] = max(id, self.cursors.get((user, channel), 0))

    def ack(self):
        user, channel = self.random.choice(USERS), self.random.choice(CHANNELS)
        id = max(self.tail(channel), 1)
        if not self.to_the_end:
            id = self.random.randrange(1, id + 2)
        self.moved(user, channel, id)
        return ("ack", user, channel, id)

    def delete(self):
        channel = self.random.choice(CHANNELS)
        known = list(self.known[channel])
        if not known:
            return self.post()
        ids = sorted({self.random.choice(known) for _ in range(self.random.randrange(1, 4))})
        self.gone[channel].update(ids)
        return ("delete", channel, ids)

    def edit(self):
        channel = self.random.choice(CHANNELS)
        if not self.known[channel]:
            return self.post()
        id = self.random.choice(list(self.known[channel]))
        self.edits[channel, id] = version = self.edits.get((channel, id), 0) + 1
        return ("edit", channel, id, version, self.some(USERS, 3))

    def unread(self):
        user, channel = self.random.choice(USERS), self.random.choice(CHANNELS)
        cursor = self.cursors.get((user, channel), 0)
        if cursor == 0:
            return self.ack()
        id = self.random.randrange(1, cursor + 1)
        self.cursors[user, channel] = id - 1
        return ("unread", user, channel, id)
