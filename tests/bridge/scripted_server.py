"""A server that says what a test wants, for clients in any language: two ROUTERs and a table of answers."""

import threading

import zmq

from shotstream.bridge import wire
from shotstream.bridge.clock import steady_ns
from shotstream.bridge.messages import (
    CAPABILITIES,
    FORMATS,
    Ack,
    Hello,
    Limits,
    Ping,
    Pong,
    StreamInfo,
    Subscribed,
    SubscribeRequest,
    Welcome,
)

EPOCH = 2**63 - 1
WIDTH, HEIGHT = 8, 4


class ScriptedServer:
    """Answers hello, ping, subscribe and whatever ``answers`` has: type -> function of the request to messages.

    Requests without an entry are acknowledged. ``heard`` has (message, its bytes) of all, ``credits`` the credit.
    """

    def __init__(self, answers=None):
        self.answers = answers or {}
        self.heard, self.credits = [], []
        self._context = zmq.Context()
        self.ctl, self.frm = (self._context.socket(zmq.ROUTER) for _ in range(2))
        for socket in (self.ctl, self.frm):
            socket.linger = 0
            socket.bind("tcp://127.0.0.1:*")
        self.endpoint = self.ctl.getsockopt_string(zmq.LAST_ENDPOINT)
        self._port = int(self.frm.getsockopt_string(zmq.LAST_ENDPOINT).rsplit(":", 1)[1])
        self._stop = threading.Event()
        self._frames, self._frame_peer = [], None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._context.destroy(0)

    def send_frame(self, *parts):
        """Sends raw parts behind the magic on ``frm``, once the client has given credit."""
        self._frames.append([wire.MAGIC, *parts])

    def _run(self):
        poller = zmq.Poller()
        for socket in (self.ctl, self.frm):
            poller.register(socket, zmq.POLLIN)
        while not self._stop.is_set():
            ready = dict(poller.poll(10))
            if self.ctl in ready:
                peer, _, header = self.ctl.recv_multipart()
                message = wire.decode(wire.client_messages, [wire.MAGIC, header])
                self.heard.append((message, header))
                for answer in self._answers_to(message):
                    self.ctl.send_multipart([peer, *wire.encode(answer)])
            if self.frm in ready:
                self._frame_peer, *parts = self.frm.recv_multipart()
                self.credits.append((wire.decode(wire.credits, parts), parts[1]))
            while self._frames and self._frame_peer is not None:
                self.frm.send_multipart([self._frame_peer, *self._frames.pop(0)])

    def _answers_to(self, message):
        if type(message) in self.answers:
            return self.answers[type(message)](message)
        if isinstance(message, Hello):
            return [self.welcome(message)]
        if isinstance(message, Ping):
            return [Pong(c0=message.c0, s1=steady_ns(), s2=steady_ns())]
        if isinstance(message, SubscribeRequest):
            return [Subscribed(id=message.id, st=1, mode=message.mode, window=4, frame_bytes=WIDTH * HEIGHT * 4)]
        return [Ack(id=message.id)] if hasattr(message, "id") else []

    def welcome(self, hello):
        return Welcome(
            proto=1,
            epoch=EPOCH,
            session=42,
            role=hello.role,
            caps=CAPABILITIES,
            limits=Limits(ctl_bytes=65536, prompt_chars=4000, rate_hz=20, burst=40, window=64),
            stream=StreamInfo(w=WIDTH, h=HEIGHT, fmts=FORMATS, rate=(16, 1), bundle="scripted"),
            frm_port=self._port,
            lease_ms=5000,
            c0=hello.c0,
            s1=steady_ns(),
            s2=steady_ns(),
        )
