"""The WebSocket of devices (`/v1/me/ws`) against RFC 6455, with wsproto as the peer: a library that
shares no code with the server. Frames that no library sends are made by hand.

usage: websocket.py PROGRAM [SEED [ROUNDS]]
"""

import http.client
import json
import os
import random
import socket
import struct
import sys
import threading
import time
import urllib.parse

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

from server import PATIENCE, Server, report

PROGRAM = sys.argv[1]
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 1_000

MESSAGE_BYTES_MAX = 16 << 10

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
FIN = 0x80


class Peer:
    """A device's end of a WebSocket."""

    def __init__(self, server, token=None, extensions=()):
        self.socket = socket.create_connection(server.address("http"), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ws = WSConnection(ConnectionType.CLIENT)
        self.events = []
        self.text = ""
        headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        request = Request(
            host="kidoku", target="/v1/me/ws", extra_headers=headers, extensions=list(extensions)
        )
        self.socket.sendall(self.ws.send(request))
        # wsproto checks the status, the headers and that Sec-WebSocket-Accept fits our key.
        self.accepted = self.next()
        if isinstance(self.accepted, RejectConnection):
            self.status = self.accepted.status_code
        else:
            assert isinstance(self.accepted, AcceptConnection), self.accepted
            self.status = 101

    def next(self):
        """The next thing that the server says; None = it hung up."""
        while not self.events:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.ws.receive_data(data)
            self.events.extend(self.ws.events())
        return self.events.pop(0)

    def next_text(self):
        """The next whole message."""
        whole = ""
        while True:
            event = self.next()
            if isinstance(event, Ping):
                self.send(event.response())
                continue
            assert isinstance(event, TextMessage), event
            whole += event.data
            if event.message_finished:
                return json.loads(whole)

    def next_answer(self):
        """The next message that answers a request; states come whenever numbers change."""
        while (message := self.next_text()).get("op") == "state":
            pass
        return message

    def send(self, event):
        """Sends what the library makes of an event."""
        self.socket.sendall(self.ws.send(event))

    def frame(self, first, payload, mask=True, length=None):
        """Sends a frame made by hand; `first` is its first byte."""
        length = len(payload) if length is None else length
        bit = 0x80 if mask else 0
        if length < 126:
            head = struct.pack("!BB", first, bit | length)
        elif length < 1 << 16:
            head = struct.pack("!BBH", first, bit | 126, length)
        else:
            head = struct.pack("!BBQ", first, bit | 127, length)
        if mask:
            key = os.urandom(4)
            payload = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
            head += key
        try:
            self.socket.sendall(head + payload)
        except (BrokenPipeError, ConnectionResetError):
            pass  # What it said before it hung up is read all the same.

    def must_close(self, *codes):
        """The server says why it closes, and hangs up."""
        while not isinstance(event := self.next(), CloseConnection):
            assert event is not None, f"hung up without a close frame, {codes} was due"
            assert isinstance(event, (TextMessage, Pong, Ping)), event
        assert event.code in codes, f"closed with {event.code} {event.reason!r}, {codes} was due"
        if self.ws.state.name == "REMOTE_CLOSING":
            self.frame(FIN | CLOSE, struct.pack("!H", event.code))
        assert self.next() is None, "the connection stays open after the close frame"
        self.socket.close()


def ack(number, message=1):
    """A request that changes nothing after the first time."""
    return json.dumps({"op": "ack", "n": number, "channel": "room", "id": str(message)})


def backend(path, body):
    """A request of the backend, which has to be accepted."""
    link = http.client.HTTPConnection(*SERVER.address("http"), timeout=PATIENCE)
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    link.request("POST", urllib.parse.quote(path), json.dumps(body), headers)
    answer = link.getresponse()
    assert answer.status == 200, answer.read()


def post(message):
    """A message by the backend, which changes what the device is to be told."""
    backend("/v1/channels/room/messages", {"id": str(message)})


def opened():
    """A peer that is served: it has its first state behind it."""
    peer = Peer(SERVER, TOKEN)
    assert peer.status == 101, peer.status
    first = peer.next_text()
    assert first["op"] == "state" and first["all"] is True, first
    return peer


# What must work.


def the_handshake_and_the_first_state():
    opened()


def the_token_may_come_in_the_first_message():
    peer = Peer(SERVER)
    peer.send(TextMessage(json.dumps({"token": TOKEN})))
    assert peer.next_text()["op"] == "state"


def a_request_is_answered_with_its_number():
    peer = opened()
    peer.send(TextMessage(ack(7)))
    answer = peer.next_answer()
    assert answer["n"] == 7 and answer["ok"] is True, answer


def a_ping_is_answered_with_its_own_payload():
    peer = opened()
    for payload in [b"", b"x", os.urandom(125)]:
        peer.send(Ping(payload))
        event = peer.next()
        assert isinstance(event, Pong) and bytes(event.payload) == payload, event


def a_pong_nobody_asked_for_is_no_matter():
    peer = opened()
    peer.send(Pong(b"unasked"))
    peer.send(TextMessage(ack(1)))
    assert peer.next_answer()["n"] == 1


def a_message_in_fragments_with_a_ping_between_is_one_message():
    peer = opened()
    text = ack(9).encode()
    peer.frame(TEXT, text[:5])
    peer.frame(0, b"")
    peer.frame(FIN | PING, b"between")
    peer.frame(0, text[5:20])
    peer.frame(FIN, text[20:])
    event = peer.next()
    assert isinstance(event, Pong) and bytes(event.payload) == b"between", event
    assert peer.next_answer()["n"] == 9


def random_fragments_and_pings_are_all_answered_in_order():
    draw = random.Random(SEED)
    peer = opened()
    for number in range(ROUNDS):
        text = ack(number).encode() + b" " * draw.randrange(300)
        cuts = sorted(draw.randrange(len(text) + 1) for _ in range(draw.randrange(6)))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)])]
        pings = 0
        for at, piece in enumerate(pieces):
            if draw.random() < 0.3:
                peer.frame(FIN | PING, bytes([pings]))
                pings += 1
            last = FIN if at == len(pieces) - 1 else 0
            peer.frame(last | (TEXT if at == 0 else 0), piece)
        for ping in range(pings):
            event = peer.next()
            assert isinstance(event, Pong) and bytes(event.payload) == bytes([ping]), event
        answer = peer.next_answer()
        assert answer["n"] == number and answer["ok"] is True, answer


def characters_cut_between_fragments_are_whole_again():
    peer = opened()
    text = json.dumps({"op": "ack", "n": 3, "channel": "既読🙂", "id": "1"}, ensure_ascii=False)
    raw = text.encode()
    for at in range(len(raw)):
        peer.frame(FIN if at == len(raw) - 1 else 0, raw[at : at + 1]) if at else peer.frame(
            TEXT, raw[:1]
        )
    assert peer.next_answer()["n"] == 3


def a_message_of_the_largest_size_is_answered():
    peer = opened()
    text = ack(5).encode()
    peer.frame(FIN | TEXT, text + b" " * (MESSAGE_BYTES_MAX - len(text)))
    answer = peer.next_answer()
    assert answer["n"] == 5 and answer["ok"] is True, answer


def what_is_no_request_is_answered_and_the_socket_lives():
    peer = opened()
    for text in ["", "{", "[]", '{"op":"fly"}', '{"op":"ack","n":4,"channel":"","id":"1"}']:
        peer.send(TextMessage(text))
        answer = peer.next_answer()
        assert answer["ok"] is False and answer["problem"]["code"], answer
    peer.send(TextMessage(ack(8)))
    assert peer.next_answer()["n"] == 8


def a_change_is_pushed():
    peer = opened()
    post(1_000_000)
    state = peer.next_text()
    assert state["op"] == "state" and state["all"] is False, state


def a_close_is_answered_with_its_code():
    peer = opened()
    peer.send(CloseConnection(1000, "done"))
    event = peer.next()
    assert isinstance(event, CloseConnection) and event.code == 1000, event
    assert peer.next() is None


def a_close_without_a_code_is_answered():
    peer = opened()
    peer.frame(FIN | CLOSE, b"")
    event = peer.next()
    assert isinstance(event, CloseConnection) and event.code == 1005, event
    assert peer.next() is None


def compression_is_not_agreed_to():
    peer = Peer(SERVER, TOKEN, [PerMessageDeflate()])
    assert peer.status == 101 and not peer.accepted.extensions, peer.accepted
    assert peer.next_text()["op"] == "state"


# What must be refused.


def a_wrong_token_is_refused():
    peer = Peer(SERVER, "not.a.token")
    assert peer.status == 401, peer.status
    peer = Peer(SERVER)
    peer.send(TextMessage(json.dumps({"token": "not.a.token"})))
    peer.must_close(1008)


def plain(headers):
    """The status of a request with exactly these headers."""
    with socket.create_connection(SERVER.address("http"), timeout=PATIENCE) as raw:
        lines = ["GET /v1/me/ws HTTP/1.1", "host: kidoku", f"authorization: Bearer {TOKEN}"]
        raw.sendall("\r\n".join([*lines, *headers, "", ""]).encode())
        return int(raw.recv(1 << 16).split(b" ")[1])


def a_handshake_that_lacks_something_is_refused():
    whole = [
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    assert plain(whole) == 101
    for at in range(len(whole)):
        status = plain(whole[:at] + whole[at + 1 :])
        assert status in (400, 426), f"without {whole[at]!r}: {status}"
    assert plain([*whole[:2], "sec-websocket-version: 12", whole[3]]) in (400, 426)


def a_binary_message():
    peer = opened()
    peer.frame(FIN | BINARY, b"\x00\x01")
    peer.must_close(1003)


def a_frame_without_a_mask():
    peer = opened()
    peer.frame(FIN | TEXT, ack(1).encode(), mask=False)
    peer.must_close(1002)


def a_message_one_byte_too_long():
    peer = opened()
    peer.frame(FIN | TEXT, b"x" * (MESSAGE_BYTES_MAX + 1))
    peer.must_close(1009)


def fragments_that_are_too_long_together():
    peer = opened()
    peer.frame(TEXT, b"x" * 10_000)
    peer.frame(FIN, b"x" * 10_000)
    peer.must_close(1009)


def a_length_that_is_only_announced():
    for length in [1 << 20, 1 << 40, (1 << 63) - 1]:
        peer = opened()
        peer.frame(FIN | TEXT, b"", length=length)
        peer.must_close(1009)


def text_that_is_not_utf_8():
    for bad in [b"\xff", b"ok \xc0\xaf", b"\xed\xa0\x80", b"cut \xe6\x97"]:
        peer = opened()
        peer.frame(FIN | TEXT, bad)
        peer.must_close(1007)


def text_that_is_not_utf_8_in_a_later_fragment():
    peer = opened()
    peer.frame(TEXT, b"good ")
    peer.frame(FIN, b"\xff")
    peer.must_close(1007)


def reserved_opcodes():
    for opcode in [3, 7, 11, 15]:
        peer = opened()
        peer.frame(FIN | opcode, b"")
        peer.must_close(1002)


def reserved_bits_without_an_extension():
    for bit in [0x40, 0x20, 0x10]:
        peer = opened()
        peer.frame(FIN | bit | TEXT, ack(1).encode())
        peer.must_close(1002)


def a_control_frame_in_fragments():
    peer = opened()
    peer.frame(PING, b"half")
    peer.must_close(1002)


def a_control_frame_that_is_too_long():
    peer = opened()
    peer.frame(FIN | PING, b"x" * 126)
    peer.must_close(1002)


def a_fragment_of_nothing():
    peer = opened()
    peer.frame(FIN, b"goes on from nowhere")
    peer.must_close(1002)


def a_message_inside_a_message():
    peer = opened()
    peer.frame(TEXT, b"first ")
    peer.frame(FIN | TEXT, b"second")
    peer.must_close(1002)


def a_close_frame_of_one_byte():
    peer = opened()
    peer.frame(FIN | CLOSE, b"\x03")
    peer.must_close(1002)


def a_close_frame_with_a_code_that_may_not_be_sent():
    for code in [0, 999, 1005, 1006, 1015, 65535]:
        peer = opened()
        peer.frame(FIN | CLOSE, struct.pack("!H", code))
        peer.must_close(1002)


def a_close_frame_whose_reason_is_not_utf_8():
    peer = opened()
    peer.frame(FIN | CLOSE, struct.pack("!H", 1000) + b"\xff")
    peer.must_close(1007, 1002)


class Witness(threading.Thread):
    """Another device, which asks and is answered all the time."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peer = opened()
        self.answered = 0
        self.stopping = False
        self.fault = None

    def run(self):
        try:
            while not self.stopping:
                self.peer.send(TextMessage(ack(self.answered)))
                answer = self.peer.next_answer()
                assert answer["n"] == self.answered and answer["ok"] is True, answer
                self.answered += 1
                time.sleep(0.02)
        except Exception as why:  # Told by the case that asks for it.
            self.fault = why


def another_device_has_not_noticed_any_of_it():
    WITNESS.stopping = True
    WITNESS.join(PATIENCE)
    assert WITNESS.fault is None, f"the witness was harmed: {WITNESS.fault}"
    assert WITNESS.answered > 10, WITNESS.answered
    SERVER.must_live()


CASES = [
    the_handshake_and_the_first_state,
    the_token_may_come_in_the_first_message,
    a_request_is_answered_with_its_number,
    a_ping_is_answered_with_its_own_payload,
    a_pong_nobody_asked_for_is_no_matter,
    a_message_in_fragments_with_a_ping_between_is_one_message,
    random_fragments_and_pings_are_all_answered_in_order,
    characters_cut_between_fragments_are_whole_again,
    a_message_of_the_largest_size_is_answered,
    what_is_no_request_is_answered_and_the_socket_lives,
    a_change_is_pushed,
    a_close_is_answered_with_its_code,
    a_close_without_a_code_is_answered,
    compression_is_not_agreed_to,
    a_wrong_token_is_refused,
    a_handshake_that_lacks_something_is_refused,
    a_binary_message,
    a_frame_without_a_mask,
    a_message_one_byte_too_long,
    fragments_that_are_too_long_together,
    a_length_that_is_only_announced,
    text_that_is_not_utf_8,
    text_that_is_not_utf_8_in_a_later_fragment,
    reserved_opcodes,
    reserved_bits_without_an_extension,
    a_control_frame_in_fragments,
    a_control_frame_that_is_too_long,
    a_fragment_of_nothing,
    a_message_inside_a_message,
    a_close_frame_of_one_byte,
    a_close_frame_with_a_code_that_may_not_be_sent,
    a_close_frame_whose_reason_is_not_utf_8,
    another_device_has_not_noticed_any_of_it,
]

if __name__ == "__main__":
    with Server(PROGRAM) as SERVER:
        KEY = SERVER.root_key()
        TOKEN = SERVER.token("ada")
        for room in ["room", "既読🙂"]:
            backend(f"/v1/channels/{room}/members", {"users": ["ada"]})
        post(1)
        WITNESS = Witness()
        WITNESS.start()
        report(f"websocket with seed {SEED}", CASES)
