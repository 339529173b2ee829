"""HTTP/2 on the HTTP port (cleartext, prior knowledge): h2spec against a committed list of what may
fail, then hyper-h2 (`h2` of PyPI) as a peer that does what browsers and attackers do.

usage: http2.py PROGRAM H2SPEC [SEED [ROUNDS]]
"""

import http.client
import json
import random
import socket
import sys
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

import h2spec
from server import PATIENCE, Server, report

PROGRAM, H2SPEC = sys.argv[1:3]
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 1
ROUNDS = int(sys.argv[4]) if len(sys.argv) > 4 else 300


class Peer:
    """A client connection that does only what it is told: nothing is acknowledged by itself."""

    def __init__(self, window=None):
        self.socket = socket.create_connection(SERVER.address("http"), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.flush()
        self.ended = None

    def flush(self):
        """Sends what the library has to send."""
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def ask(self, path, method="GET", body=None):
        """Sends a request; its stream."""
        stream = self.h2.get_next_available_stream_id()
        headers = [
            (":method", method),
            (":scheme", "http"),
            (":authority", "kidoku"),
            (":path", path),
            ("authorization", f"Bearer {KEY}"),
        ]
        if body is not None:
            headers.append(("content-type", "application/json"))
        self.h2.send_headers(stream, headers, end_stream=body is None)
        if body is not None:
            self.h2.send_data(stream, body.encode(), end_stream=True)
        self.flush()
        return stream

    def events(self):
        """What comes next; nothing = the server has hung up."""
        try:
            data = self.socket.recv(1 << 16)
        except (ConnectionResetError, BrokenPipeError):
            return []
        if not data:
            return []
        events = self.h2.receive_data(data)
        self.flush()
        return events

    def answers(self, streams, credit=True):
        """Reads until all these streams have ended: status and body of each."""
        waiting = set(streams)
        found = {stream: [None, b""] for stream in streams}
        while waiting:
            events = self.events()
            assert events or waiting == set(), f"hung up, {len(waiting)} answers were due"
            for event in events:
                self.take(event, found, waiting, credit)
        return {stream: (status, body) for stream, (status, body) in found.items()}

    def take(self, event, found, waiting, credit=True):
        """Files one event."""
        if isinstance(event, h2.events.ResponseReceived) and event.stream_id in found:
            found[event.stream_id][0] = dict(event.headers)[":status"]
        elif isinstance(event, h2.events.DataReceived):
            if event.stream_id in found:
                found[event.stream_id][1] += event.data
            if credit:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self.flush()
        elif isinstance(event, h2.events.StreamEnded):
            waiting.discard(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            raise AssertionError(f"stream {event.stream_id} reset: {event.error_code}")
        elif isinstance(event, h2.events.ConnectionTerminated):
            raise AssertionError(f"connection ended: {event.error_code}")


def one(path, method="GET", body=None):
    """One request on a connection of its own."""
    peer = Peer()
    stream = peer.ask(path, method, body)
    answer = peer.answers([stream])[stream]
    peer.socket.close()
    return answer


def h2spec_finds_only_what_is_known():
    with Server(PROGRAM, "--dev") as server:
        link = http.client.HTTPConnection(*server.address("http"), timeout=PATIENCE)
        link.request("POST", "/v1/events", h2spec.EVENTS)
        assert link.getresponse().status == 200
        h2spec.must_find_only_what_is_known(H2SPEC, server.address("http"))
        server.must_live()


def many_streams_at_once_are_all_answered():
    peer = Peer()
    for _ in range(5):
        streams = [peer.ask(f"/v1/users/user{at}/badge") for at in range(90)]
        for status, body in peer.answers(streams).values():
            assert status == "200" and json.loads(body)["unread"] == 0, (status, body)


def answers_on_one_connection_belong_to_their_questions():
    draw = random.Random(SEED)
    peer = Peer()
    for _ in range(ROUNDS):
        asked = {}
        for _ in range(draw.randrange(1, 30)):
            room = draw.randrange(40)
            asked[peer.ask(f"/v1/users/reader/channels/room{room}")] = room
        for stream, (status, body) in peer.answers(list(asked)).items():
            unread = json.loads(body)["unread"]
            assert (status, unread) == ("200", asked[stream]), (asked[stream], status, body)


def a_reader_with_a_small_window_gets_all_of_it_in_time():
    whole = one("/openapi.json")[1]
    assert len(whole) > 20_000
    window = 1_000
    peer = Peer(window)
    peer.ask("/openapi.json")
    got, ended, frames = b"", False, 0
    while not ended:
        events = peer.events()
        assert events, "hung up"
        for event in events:
            if isinstance(event, h2.events.DataReceived):
                frames += 1
                got += event.data
                assert len(event.data) <= window, "more than the window was sent"
                peer.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                peer.flush()
            ended |= isinstance(event, h2.events.StreamEnded)
    assert got == whole and frames >= len(whole) // window, (len(got), frames)


def readers_that_give_no_credit_do_not_stop_the_others_on_their_connection():
    peer = Peer(0)
    for _ in range(20):
        peer.ask("/openapi.json")
    # The window of this one is opened by hand; the others stay shut.
    stream = peer.ask("/v1/users/reader/badge")
    found, waiting = {stream: [None, b""]}, {stream}
    peer.h2.increment_flow_control_window(10_000, stream)
    peer.flush()
    while waiting:
        events = peer.events()
        assert events, "hung up"
        for event in events:
            peer.take(event, found, waiting, credit=False)
    assert found[stream][0] == "200", found


def a_window_that_opens_later_lets_the_rest_through():
    peer = Peer(0)
    stream = peer.ask("/v1/users/reader/badge")
    found, waiting = {stream: [None, b""]}, {stream}
    while found[stream][0] is None:
        events = peer.events()
        assert events, "hung up"
        for event in events:
            peer.take(event, found, waiting, credit=False)
    assert waiting and not found[stream][1], "a body came through a window that was shut"
    peer.h2.increment_flow_control_window(10_000, stream)
    peer.flush()
    while waiting:
        events = peer.events()
        assert events, "hung up"
        for event in events:
            peer.take(event, found, waiting, credit=False)
    assert json.loads(found[stream][1])


def a_post_with_a_body_is_applied():
    body = json.dumps({"channel": "room3", "id": "1", "count": True})
    status, answer = one("/v1/users/poster/ack", "POST", body)
    assert status == "200", (status, answer)


def a_refusal_is_a_problem_document():
    status, body = one("/v1/users/%00/badge")
    assert status == "400" and json.loads(body)["code"] == "BADID", (status, body)


def pings_are_answered():
    peer = Peer()
    for number in range(20):
        payload = number.to_bytes(8, "big")
        peer.h2.ping(payload)
        peer.flush()
        answered = False
        while not answered:
            events = peer.events()
            assert events, "hung up"
            answered = any(
                isinstance(event, h2.events.PingAckReceived) and event.ping_data == payload
                for event in events
            )


class Witness(threading.Thread):
    """A well-behaved client that notes how long each of its requests took."""

    def __init__(self):
        super().__init__()
        self.stopping = False
        self.took = []
        self.fault = None

    def run(self):
        try:
            peer = Peer()
            while not self.stopping:
                begun = time.monotonic()
                stream = peer.ask("/v1/users/reader/badge")
                status, _ = peer.answers([stream])[stream]
                assert status == "200", status
                self.took.append(time.monotonic() - begun)
                time.sleep(0.005)
        except Exception as why:  # Told by the thread that waits for this one.
            self.fault = why


    def wait_for_turns(self, turns):
        """Until it has had so many, or can not go on."""
        until = time.monotonic() + PATIENCE
        while len(self.took) < turns and self.fault is None:
            assert time.monotonic() < until, "the witness is not served any more"
            time.sleep(0.01)


def beside_a_witness(attack):
    """Runs an attack while another client goes on; how that one fared."""
    witness = Witness()
    witness.start()
    try:
        witness.wait_for_turns(3)
        attack()
        # The server may still be at work on what was sent.
        witness.wait_for_turns(len(witness.took) + 20)
    finally:
        witness.stopping = True
        witness.join(PATIENCE)
    assert witness.fault is None, f"the witness was harmed: {witness.fault}"
    assert max(witness.took) < PATIENCE / 4, f"the witness waited {max(witness.took):.1f} s"
    SERVER.must_live()


def a_flood_of_resets_ends_its_own_connection_and_no_other():
    def attack():
        for _ in range(3):
            peer = Peer()
            sent = 0
            try:
                for _ in range(20_000):
                    stream = peer.h2.get_next_available_stream_id()
                    headers = [
                        (":method", "GET"),
                        (":scheme", "http"),
                        (":authority", "kidoku"),
                        (":path", "/v1/users/reader/state"),
                        ("authorization", f"Bearer {KEY}"),
                    ]
                    peer.h2.send_headers(stream, headers, end_stream=True)
                    peer.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
                    sent += 1
                    if sent % 100 == 0:
                        peer.flush()
            except (ConnectionResetError, BrokenPipeError, h2.exceptions.ProtocolError):
                pass
            assert drained(peer), "20,000 resets, and the connection is still open"

    beside_a_witness(attack)


def drained(peer):
    """Reads to the end; whether the server was the one that ended it."""
    peer.socket.settimeout(5)
    try:
        while True:
            data = peer.socket.recv(1 << 16)
            if not data:
                return True
            peer.h2.receive_data(data)
    except (ConnectionResetError, BrokenPipeError):
        return True
    except h2.exceptions.ProtocolError:
        return True
    except TimeoutError:
        return False


def floods_of_empty_frames_do_no_harm():
    """PING, SETTINGS, PRIORITY and WINDOW_UPDATE frames by the ten thousand: cheap to send, and each
    wants an answer or some work."""

    def frame(kind, flags, stream, payload=b""):
        head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
        return head + payload

    ping = frame(6, 0, 0, b"12345678")
    settings = frame(4, 0, 0)
    priority = frame(2, 0, 7, b"\x00\x00\x00\x00\x10")
    window = frame(8, 0, 0, b"\x00\x00\x00\x01")

    def attack():
        for flood in [ping, settings, priority, window]:
            peer = Peer()
            peer.socket.settimeout(10)
            try:
                # The attacker never reads: what the server has to answer must not pile up for ever.
                for _ in range(100):
                    peer.socket.sendall(flood * 200)
            except (TimeoutError, ConnectionResetError, BrokenPipeError):
                pass
            peer.socket.close()

    beside_a_witness(attack)


def endless_headers_are_cut_off():
    """CONTINUATION frames without end: the connection ends before they have cost much."""
    peer = Peer()
    peer.events()
    headers = b"\x00\x00\x04\x01\x00\x00\x00\x00\x01\x82\x86\x84\x41"
    more = b"\x00\x40\x00\x09\x00\x00\x00\x00\x01" + b"\x00" * 0x4000
    ended = False
    try:
        peer.socket.sendall(headers)
        for _ in range(2_000):
            peer.socket.sendall(more)
    except (ConnectionResetError, BrokenPipeError):
        ended = True
    assert ended or drained(peer), "32 MiB of header frames, and the connection is still open"
    SERVER.must_live()


CASES = [
    h2spec_finds_only_what_is_known,
    many_streams_at_once_are_all_answered,
    answers_on_one_connection_belong_to_their_questions,
    a_reader_with_a_small_window_gets_all_of_it_in_time,
    readers_that_give_no_credit_do_not_stop_the_others_on_their_connection,
    a_window_that_opens_later_lets_the_rest_through,
    a_post_with_a_body_is_applied,
    a_refusal_is_a_problem_document,
    pings_are_answered,
    a_flood_of_resets_ends_its_own_connection_and_no_other,
    floods_of_empty_frames_do_no_harm,
    endless_headers_are_cut_off,
]


def fill():
    """Rooms 0 to 39, each with as many messages as its number, none read by `reader`."""
    lines = []
    for room in range(40):
        for user in ["reader", "poster"]:
            lines.append({"op": "join", "channel": f"room{room}", "user": user})
        for number in range(room):
            lines.append({"op": "message", "channel": f"room{room}", "id": str(number + 1)})
    peer = Peer()
    stream = peer.h2.get_next_available_stream_id()
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "kidoku"),
        (":path", "/v1/events"),
        ("authorization", f"Bearer {KEY}"),
        ("content-type", "application/x-ndjson"),
    ]
    peer.h2.send_headers(stream, headers)
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    while data:
        room = min(peer.h2.local_flow_control_window(stream), peer.h2.max_outbound_frame_size)
        if not room:
            peer.events()
            continue
        peer.h2.send_data(stream, data[:room], end_stream=room >= len(data))
        data = data[room:]
        peer.flush()
    status, body = peer.answers([stream])[stream]
    assert status == "200" and json.loads(body)["failed"] == 0, (status, body)


if __name__ == "__main__":
    with Server(PROGRAM) as SERVER:
        KEY = SERVER.app_key()
        fill()
        report(f"http2 with seed {SEED}", CASES)
