"""A peer that can say anything, for what the Python client never would."""

import time

import zmq

from shotstream.bridge import wire
from shotstream.bridge.clock import steady_ns
from shotstream.bridge.messages import Ack, Hello
from tests.bridge.waiting import PATIENCE_S


class RawPeer:
    """A DEALER on the server's ``ctl``; ``say`` parts or messages, ``hear`` the next answer or None."""

    def __init__(self, endpoint, token="", keys=None):
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger = 0
        if keys is not None:
            self.socket.setsockopt_string(zmq.CURVE_SERVERKEY, keys.server)
            self.socket.setsockopt_string(zmq.CURVE_PUBLICKEY, keys.public)
            self.socket.setsockopt_string(zmq.CURVE_SECRETKEY, keys.secret)
        self.socket.connect(endpoint)
        self._token = token

    def say(self, *parts):
        for part in parts if parts and not isinstance(parts[0], bytes) else [parts]:
            self.socket.send_multipart(wire.encode(part) if not isinstance(part, tuple) else list(part))

    def hear(self, timeout_ms=1000 * PATIENCE_S):
        if not self.socket.poll(timeout_ms):
            return None
        return wire.decode(wire.server_messages, self.socket.recv_multipart())

    def acks(self, num):
        """The next ``num`` acks; reports that come between are passed over."""
        found = []
        while len(found) < num and (answer := self.hear()) is not None:
            found += [answer] if isinstance(answer, Ack) else []
        return found

    def hello(self, **fields):
        self.say(Hello(**{"proto_min": 1, "proto_max": 1, "token": self._token, "role": "operator", **fields}))
        return self.hear()

    def request(self, kind, welcome, *, id=1, **fields):
        """A request as it should be, except for ``fields``."""
        always = {"id": id, "ep": welcome.epoch, "ttl": 2000, "ts": steady_ns()}
        return kind(**{**always, **fields})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self._context.term()


def wait_for_event(client, kind, timeout_s=PATIENCE_S):
    """The next event of that kind. Events and frames come over different sockets, in any order."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        for event in client.events():
            if event.kind == kind:
                return event
        time.sleep(0.005)
    raise AssertionError(f"no {kind} event within {timeout_s} s")
