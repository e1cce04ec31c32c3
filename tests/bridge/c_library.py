"""The C library for tests: built once a session, and called through ctypes."""

import ctypes as c
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "engine_bridge"
ABI = 1 << 16
SANITIZERS = {
    "address,undefined": {
        "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1",
        "LSAN_OPTIONS": f"suppressions={SOURCE}/tests/lsan.supp:print_suppressions=0",
    },
    "thread": {"TSAN_OPTIONS": f"suppressions={SOURCE}/tests/tsan.supp:halt_on_error=1"},
}
"""-fsanitize= and the environment of programs built with it."""


def missing():
    """Why the library cannot be built on this machine; None when it can."""
    tools = [name for name in ("cmake", "pkg-config", "cc", "c++") if shutil.which(name) is None]
    if tools:
        return f"no {', '.join(tools)}; install cmake, pkg-config and a C and C++ compiler"
    for names in (["libzmq"], ["msgpack-c", "msgpack"]):
        if all(subprocess.run(["pkg-config", "--exists", name]).returncode for name in names):
            return f"no headers of {names[0]}; install libzmq3-dev and libmsgpack-dev"
    return None


REASON = missing()
needs_library = pytest.mark.skipif(REASON is not None, reason=f"the C library cannot be built: {REASON}")


def build(folder, *options):
    """Configures and builds into ``folder``; returns it."""
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    configure = ["cmake", "-S", str(SOURCE), "-B", str(folder), *generator, *options]
    for command in (configure, ["cmake", "--build", str(folder), "--parallel", "2"]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0 and "warning:" not in done.stdout + done.stderr, done.stdout + done.stderr
    return folder


class Config(c.Structure):
    _fields_ = [
        *((name, c.c_uint32) for name in ("struct_size", "flags")),
        *((name, c.c_char_p) for name in ("server_name", "connection_file", "ctl_endpoint", "token")),
        *((name, c.c_char_p) for name in ("curve_server_key", "curve_public_key", "curve_secret_key")),
        *((name, c.c_char_p) for name in ("client_name", "engine")),
        *((name, c.c_uint32) for name in ("role", "pixel_format", "origin", "delivery", "queue_frames", "ttl_ms")),
    ]


class Frame(c.Structure):
    _fields_ = [
        *((name, c.c_uint32) for name in ("struct_size", "flags")),
        *((name, c.c_uint64) for name in ("frame_id", "source_id", "seed")),
        *((name, c.c_int64) for name in ("pts_ns", "present_at_ns", "generated_ns", "received_ns")),
        *((name, c.c_uint32) for name in ("shot_id", "shot_frame", "block_id", "take_id", "prompt_rev", "last_cmd")),
        *((name, c.c_uint32) for name in ("width", "height", "stride", "pixel_format", "origin", "color_space")),
        *(
            (name, c.c_uint32)
            for name in ("rate_num", "rate_den", "timecode", "tc_rate_num", "tc_rate_den", "tc_flags")
        ),
        *((name, c.c_uint64) for name in ("data_size", "token")),
        ("data", c.c_void_p),
        *((name, c.c_uint32) for name in ("dropped", "location")),
        ("reserved", c.c_uint8 * 24),
    ]


class Event(c.Structure):
    _fields_ = [
        *((name, c.c_uint32) for name in ("struct_size", "type")),
        *((name, c.c_int64) for name in ("time_ns", "frame_id", "shot_id")),
        *((name, c.c_uint32) for name in ("request_id", "command", "count")),
        ("code", c.c_int32),
        ("latency_ms", c.c_float * 8),
        *((name, c.c_uint32) for name in ("retry_ms", "text_size")),
        ("name", c.c_char * 72),
        ("text", c.c_char * 224),
    ]


class Param(c.Structure):
    _fields_ = [
        ("key", c.c_char_p),
        *((name, c.c_uint32) for name in ("type", "reserved")),
        ("i", c.c_int64),
        ("d", c.c_double),
        ("s", c.c_char_p),
    ]


class Stats(c.Structure):
    _fields_ = [
        *((name, c.c_uint32) for name in ("struct_size", "connected", "connections", "width", "height")),
        *((name, c.c_uint32) for name in ("rate_num", "rate_den", "role")),
        ("epoch", c.c_uint64),
        *((name, c.c_int64) for name in ("clock_offset_ns", "rtt_ns")),
        *((name, c.c_uint64) for name in ("frames_received", "frames_dropped", "frames_overrun", "frames_unreadable")),
        *((name, c.c_uint64) for name in ("messages_unreadable", "events_lost")),
        ("bundle", c.c_char * 72),
    ]


def header_constants():
    """Every ``#define SHS_NAME number`` of the two public headers."""
    found = {}
    for path in ("shotstream/protocol.h", "shotstream.h"):
        for line in (SOURCE / "include" / path).read_text().splitlines():
            words = line.split()
            if len(words) > 2 and words[0] == "#define":
                number = words[2].strip("()").rstrip("u")
                if number.lstrip("-").isdigit():
                    found[words[1].removeprefix("SHS_")] = int(number)
    return found


K = header_constants()
"""Constants of the headers, without ``SHS_``: ``K["E_AUTH"]``."""


def load(folder):
    """The library in a build folder, with the types of its functions."""
    library = c.CDLL(str(Path(folder) / "libshotstream_bridge.so"))
    for name in ("shs_result_name",):
        getattr(library, name).restype = c.c_char_p
    library.shs_now_ns.restype = c.c_int64
    return library


def params(values):
    """An array of ``shs_param`` from a dict."""
    array = (Param * max(1, len(values)))()
    for one, (key, value) in zip(array, values.items(), strict=False):
        one.key = key.encode()
        if isinstance(value, bool):
            one.type, one.i = K["PARAM_BOOL"], int(value)
        elif isinstance(value, int):
            one.type, one.i = K["PARAM_INT"], value
        elif isinstance(value, float):
            one.type, one.d = K["PARAM_FLOAT"], value
        else:
            one.type, one.s = K["PARAM_STRING"], value.encode()
    return array


class CClient:
    """A ``shs_client``; the test's ``library`` and the fields of ``shs_client_config``."""

    def __init__(self, library, **fields):
        self.library = library
        self.config = Config()
        assert library.shs_client_config_init(c.byref(self.config), c.sizeof(Config), ABI) == 0
        for name, value in fields.items():
            setattr(self.config, name, value.encode() if isinstance(value, str) else value)
        self.handle = c.c_void_p()
        self.created = library.shs_client_create(c.byref(self.config), c.byref(self.handle))
        self.events = []

    def close(self):
        handle, self.handle = self.handle, None
        if handle:
            self.library.shs_client_destroy(handle)

    def __enter__(self):
        assert self.created == 0, self.created
        return self

    def __exit__(self, *_):
        self.close()

    def call(self, name, *arguments):
        """``shs_NAME(client, ...)``; str becomes bytes. The result."""
        plain = [one.encode() if isinstance(one, str) else one for one in arguments]
        return getattr(self.library, f"shs_{name}")(self.handle, *plain)

    def ask(self, name, *arguments):
        """A request; its id."""
        number = c.c_uint32()
        result = self.call(name, *arguments, c.byref(number))
        assert result == 0, (name, result, self.last_error())
        return number.value

    def poll(self):
        """Takes all events that are there."""
        while True:
            event = Event(struct_size=c.sizeof(Event))
            result = self.call("event_next", c.byref(event))
            if result == K["NO_EVENT"]:
                return
            assert result == 0
            self.events.append(event)

    def wait(self, kind, seconds=20, *, alone=False, **fields):
        """The next event of that kind and with those fields; takes it and what is before it, or it ``alone``."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.poll()
            for number, event in enumerate(self.events):
                if event.type == K[f"EVENT_{kind}"] and all(getattr(event, k) == v for k, v in fields.items()):
                    del self.events[number if alone else 0 : number + 1]
                    return event
            time.sleep(0.002)
        raise AssertionError(
            f"no {kind} {fields} within {seconds} s; {[(e.type, e.code, e.text) for e in self.events]}"
        )

    def answer(self, name, *arguments):
        """Asks and waits for the answer."""
        number = self.ask(name, *arguments)
        return self.wait("ANSWER", request_id=number)

    def read(self, number):
        """What an answer brought."""
        needed = c.c_uint64()
        if self.call("answer_read", number, None, c.c_uint64(0), c.byref(needed)) != K["E_TOO_LARGE"]:
            return None
        buffer = c.create_string_buffer(needed.value)
        assert self.call("answer_read", number, buffer, needed, None) == 0
        return buffer.raw

    def acquire(self, minimum=0, timeout_ms=20_000):
        """(result, frame)."""
        frame = Frame(struct_size=c.sizeof(Frame))
        return self.call("frame_acquire", c.c_uint64(minimum), timeout_ms, c.byref(frame)), frame

    def take(self, **options):
        """The next frame and a copy of its bytes as they lie in memory; released."""
        result, frame = self.acquire(**options)
        assert result == 0, (result, self.last_error())
        data = c.string_at(frame.data, frame.data_size)
        assert self.call("frame_release", c.byref(frame)) == 0
        return frame, data

    def copy(self, frame, stride=0, size=None):
        """(result, bytes) of ``shs_frame_copy``."""
        buffer = c.create_string_buffer(size if size is not None else frame.data_size * 2)
        result = self.call("frame_copy", c.byref(frame), buffer, stride, c.c_uint64(len(buffer)))
        return result, buffer.raw

    def last_error(self):
        buffer = c.create_string_buffer(512)
        return buffer.value.decode() if self.call("client_last_error", buffer, 512, None) == 0 else ""

    def stats(self):
        stats = Stats(struct_size=c.sizeof(Stats))
        assert self.call("client_stats", c.byref(stats)) == 0
        return stats
