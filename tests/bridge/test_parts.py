"""The parts without sockets: outbox, pacer, clock offset, rate, strikes, tokens, files and addresses."""

import os
import random
import stat
from collections import deque

import pytest

import shotstream as ss
from shotstream.bridge import auth
from shotstream.bridge.clock import Offset, Pacer
from shotstream.bridge.delivery import Outbox
from shotstream.bridge.messages import ROLES
from shotstream.bridge.sessions import Session, Strikes, TokenBucket


class FakeClock:
    def __init__(self):
        self.ns = 10**12

    def __call__(self):
        return self.ns

    def advance(self, seconds):
        self.ns += round(seconds * 1e9)


@pytest.mark.parametrize("mode", ["latest", "queue", "lossless"])
def test_outbox_equals_a_naive_model(mode):
    for seed in range(200):
        dice = random.Random(seed)
        limit, window = dice.randint(1, 5), dice.randint(1, 4)
        box = Outbox(mode, limit=limit, window=window)
        kept, credit, offered, sent, lost = deque(), 0, 0, [], 0
        size = 1 if mode == "latest" else limit
        for _ in range(60):
            what = dice.choice(["offer", "offer", "take", "grant"])
            if what == "offer":
                fits = len(kept) < size
                if fits or mode != "lossless":
                    kept.append(offered)
                if len(kept) > size:
                    kept.popleft()
                lost += not fits
                assert box.offer(offered) == fits
                offered += 1
            elif what == "grant":
                num = dice.randint(0, 3)
                credit = min(window, credit + num)
                box.grant(num)
            elif kept and credit:
                credit -= 1
                sent.append(box.take())
                assert sent[-1] == kept.popleft()
            else:
                assert box.take() is None
            assert (len(box), box.has_credit, box.has_room) == (len(kept), credit > 0, len(kept) < size)
        assert sent == sorted(sent) and (box.sent, box.dropped) == (len(sent), lost)


def test_pacer_keeps_absolute_times():
    clock = FakeClock()
    pacer = Pacer(16, clock=clock)
    start = clock.ns
    dues = []
    for number in range(1000):
        clock.ns = round(start + number * 1e9 / 16 + random.Random(number).uniform(-0.02, 0.05) * 1e9)
        dues.append(pacer.next_due())
    late = pacer.late
    assert late == 0
    assert max(abs(due - dues[0] - number * 1e9 / 16) for number, due in enumerate(dues)) < 2


def test_pacer_moves_its_grid_after_a_stall_and_does_not_rush():
    clock = FakeClock()
    pacer = Pacer(10, clock=clock)
    pacer.next_due()
    clock.advance(3)
    first = pacer.next_due()
    assert first == clock.ns and pacer.late == 1
    assert pacer.next_due() - first == pytest.approx(1e8, abs=2)


def test_offset_takes_the_shortest_round_trip():
    offset, ahead = Offset(), 5_000_000_000
    assert offset.best.offset_ns == 0
    for number, (there, back) in enumerate([(9_000_000, 1_000_000), (200_000, 200_000), (1_000_000, 30_000_000)]):
        c0 = number * 10**9
        s1 = c0 + there + ahead
        offset.add(c0=c0, s1=s1, s2=s1 + 50_000, c1=c0 + there + 50_000 + back)
    assert offset.best.rtt_ns == 400_000 and offset.best.offset_ns == ahead


def test_bucket_allows_a_burst_and_then_the_rate():
    clock = FakeClock()
    bucket = TokenBucket(rate_hz=20, burst=4, now=clock)
    assert [bucket.take() for _ in range(5)] == [0, 0, 0, 0, 50]
    clock.advance(0.05)
    assert bucket.take() == 0 and bucket.take() > 0
    clock.advance(100)
    assert [bucket.take() for _ in range(5)][:4] == [0] * 4


def test_strikes_ban_for_a_while_and_spread_out_ones_do_not():
    clock = FakeClock()
    strikes = Strikes(limit=3, within_s=10, ban_s=60, now=clock)
    for _ in range(2):
        strikes.add(b"a")
    clock.advance(11)
    strikes.add(b"a")
    assert not strikes.banned(b"a")
    strikes.add(b"a")
    strikes.add(b"a")
    assert strikes.banned(b"a") and not strikes.banned(b"b")
    clock.advance(61)
    assert not strikes.banned(b"a")
    for number in range(5000):
        strikes.add(number.to_bytes(4, "big"))
    assert len(strikes._strikes) <= 1024


def test_a_session_keeps_a_bounded_number_of_answers():
    bucket = TokenBucket(rate_hz=1, burst=1)
    session = Session(id=1, peer=b"", role="viewer", client="", user="", events=0, heard_ns=0, bucket=bucket)
    for number in range(1000):
        session.remember(number, [b"x"])
    assert list(session.answers) == list(range(744, 1000))


def test_a_token_opens_the_strongest_role_it_fits():
    tokens = auth.new_tokens()
    assert len(set(tokens.values())) == len(ROLES) and all(len(token) == 64 for token in tokens.values())
    assert [auth.role_of_token(tokens[role], tokens) for role in ROLES] == list(ROLES)
    assert auth.role_of_token("", tokens) is None and auth.role_of_token("é", tokens) is None
    assert auth.role_of_token("", {}) is None


@pytest.mark.parametrize("bind", ["tcp://127.0.0.1", "tcp://127.0.0.1:5570", "tcp://localhost:1", "tcp://[::1]:9"])
def test_loopback_needs_no_keys(bind):
    auth.check_bind(bind, has_keys=False)


@pytest.mark.parametrize("bind", ["tcp://0.0.0.0:1", "tcp://192.168.1.10:5570", "tcp://[::]:1", "tcp://8.8.8.8"])
def test_other_addresses_need_keys(bind):
    with pytest.raises(ss.ConfigError, match="keygen"):
        auth.check_bind(bind, has_keys=False)
    auth.check_bind(bind, has_keys=True)


@pytest.mark.parametrize(
    "bind", ["", "127.0.0.1", "tcp://*:5", "ipc:///tmp/x", "tcp://a b", "tcp://127.0.0.1:99999", "udp://127.0.0.1"]
)
def test_what_is_no_address_is_refused(bind):
    with pytest.raises(ss.ConfigError, match="use tcp://"):
        auth.check_bind(bind, has_keys=True)


def test_the_runtime_folder_and_its_files_are_private(serve, runtime):
    server = serve()
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.connection_file.stat().st_mode) == 0o600
    connection = auth.read_connection(server.connection_file)
    assert (connection.ctl, connection.epoch, connection.pid) == (server.ctl, server.epoch, os.getpid())


def test_a_runtime_folder_that_others_may_enter_is_refused(runtime):
    runtime.mkdir(mode=0o755)
    os.chmod(runtime, 0o755)
    with pytest.raises(ss.ConfigError, match="chmod 700"):
        auth.runtime_folder()


def test_a_runtime_folder_that_is_a_link_is_refused(runtime, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    runtime.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ss.ConfigError, match="no folder"):
        auth.runtime_folder()


@pytest.mark.parametrize("name", ["", "../up", "a/b", "x" * 65, "a.b", "a b"])
def test_a_name_that_is_no_file_name_is_refused(name):
    with pytest.raises(ss.ConfigError, match="cannot name a server"):
        auth.connection_path(name)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b"\xff" * 100, b'{"proto": "x"}', b'{"a": "\xe1"}', b"[" * 9000, b" " * 70_000]
)
def test_a_damaged_connection_file_is_said(tmp_path, content):
    path = tmp_path / "default.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ss.BridgeError, match=r"default\.json (is not a readable|is larger)"):
        auth.read_connection(path)


def test_a_stale_connection_file_does_not_stop_the_next_server(serve, runtime, connect):
    runtime.mkdir(mode=0o700)
    (runtime / "default.json").write_text("left behind by a killed server")
    serve()
    assert connect(role="viewer").connected
