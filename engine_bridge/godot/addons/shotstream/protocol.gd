# Generated from sdk/shotstream/bridge/messages.py by: python -m engine_bridge.generate
extends Object

const MAGIC = "SSB1"

# Versions of the protocol, and limits in bytes or frames.
const PROTO_MIN = 1
const PROTO_MAX = 1
const MAX_CTL_BYTES = 65536
const MAX_CREDIT_BYTES = 1024
const MAX_HEADER_BYTES = 4096
const MAX_WINDOW = 64
const MAX_CHUNK_BYTES = 49152
const MAX_SAVE_BYTES = 67108864

# Codes of error and reject.
const E_INVALID = -1
const E_CONNECT = -4
const E_AUTH = -5
const E_VERSION = -6
const E_PROTOCOL = -7
const E_TOO_LARGE = -8
const E_STALE = -9
const E_CLOSED = -11
const E_DENIED = -12
const E_RATE = -13
const E_BUSY = -14
const E_UNKNOWN_TYPE = -15
const E_TIMEOUT = -16
const E_INTERNAL = -99

# Bits of a frame's fl.
const FLAG_SHOT_START = 1
const FLAG_DISCONTINUITY = 64
const FLAG_MODERATED = 512
const FLAG_RESTORED = 1024
const FLAG_GAP = 2048

# Bits of events in hello.
const EVENTS_SHOT_START = 1
const EVENTS_GAP = 2
const EVENTS_ENGINE = 4
const EVENTS_SHUTDOWN = 8
const EVENTS_BEAT = 16
const EVENTS_MODERATION = 32
const EVENTS_RESTORED = 64
const EVENTS_ALL = 127

# Roles, from the least; words on the wire.
const ROLE_VIEWER = 0
const ROLE_TRIGGER = 1
const ROLE_DIRECTOR = 2
const ROLE_OPERATOR = 3
const ROLE_WORDS = ["viewer", "trigger", "director", "operator"]

# When a cut happens; words on the wire.
const WHEN_BLOCK = 0
const WHEN_SHOT_END = 1
const WHEN_NOW = 2
const WHEN_WORDS = ["block", "shot_end", "now"]

# What a query asks for; words on the wire.
const QUERY_STATUS = 0
const QUERY_BEATS = 1
const QUERY_VARIABLES = 2
const QUERY_CHECKPOINTS = 3
const QUERY_WORDS = ["status", "beats", "variables", "checkpoints"]

# What an event tells; words on the wire. Numbers below 16 are left to the clients.
const EVENT_SHOT_START = 16
const EVENT_GAP = 17
const EVENT_ENGINE = 18
const EVENT_SHUTDOWN = 19
const EVENT_BEAT = 20
const EVENT_MODERATION = 21
const EVENT_RESTORED = 22
const EVENT_WORDS = ["shot_start", "gap", "engine", "shutdown", "beat", "moderation", "restored"]

# Where pixels are; words on the wire.
const LOCATION_INLINE = 0
const LOCATION_SHM = 1
const LOCATION_WORDS = ["inline", "shm"]

# Delivery; words on the wire.
const MODE_LATEST = 0
const MODE_QUEUE = 1
const MODE_LOSSLESS = 2
const MODE_WORDS = ["latest", "queue", "lossless"]

# States of a command; words on the wire.
const STATE_QUEUED = 0
const STATE_STARTED = 1
const STATE_GENERATED = 2
const STATE_ON_AIR = 3
const STATE_PRESENTED = 4
const STATE_FAILED = 5
const STATE_SUPERSEDED = 6
const STATE_WORDS = ["queued", "started", "generated", "on_air", "presented", "failed", "superseded"]

# Pixel formats; words on the wire, numbers in shared memory.
const FORMAT_RGBA8 = 1
const FORMAT_BGRA8 = 2
const FORMAT_RGB8 = 3
const FORMAT_NV12 = 4
const FORMAT_WORDS = ["rgba8", "bgra8", "rgb8", "nv12"]

# First row in memory; words on the wire, numbers in shared memory.
const ORIGIN_TOP_LEFT = 1
const ORIGIN_BOTTOM_LEFT = 2
const ORIGIN_WORDS = ["top_left", "bottom_left"]

# The word in t of every message.
const TAGS = ["hello", "ping", "bye", "cut", "prompt", "world", "clear", "pin", "unpin", "hold", "resume", "beat", "var", "prepare", "take", "cancel", "checkpoint", "restore", "branch", "undo", "forget", "download", "upload", "query", "subscribe", "unsubscribe", "welcome", "reject", "pong", "ack", "error", "state", "subscribed", "saved", "chunk", "event", "result", "c", "frame"]

# What the server says: fields with their defaults, and for those in REQUIRED a value of the type.
# null stands for more than one type.
const SERVER_FIELDS = {
	"welcome": {"proto": 0, "epoch": 0, "session": 0, "role": "", "caps": [], "limits": {}, "stream": {}, "frm_port": 0, "lease_ms": 0, "c0": 0, "s1": 0, "s2": 0, "resumed": false},
	"reject": {"code": 0, "text": "", "proto_min": 1, "proto_max": 1},
	"pong": {"c0": 0, "s1": 0, "s2": 0},
	"ack": {"id": 0, "cmd": 0},
	"error": {"id": 0, "code": 0, "text": "", "retry_ms": 0},
	"state": {"id": 0, "cmd": 0, "state": "", "frame": -1, "lat": {}, "text": ""},
	"subscribed": {"id": 0, "st": 0, "mode": "", "window": 0, "frame_bytes": 0, "shm": null},
	"saved": {"id": 0, "name": "", "bytes": 0, "frame": 0, "shot": 0},
	"chunk": {"id": 0, "offset": 0, "total": 0, "data": null},
	"event": {"kind": "", "frame": -1, "shot": -1, "count": 0, "name": "", "text": ""},
	"result": {"id": 0, "status": null, "beats": null, "variables": null, "checkpoints": null},
	"frame": {"st": 0, "f": 0, "src": 0, "sh": 0, "sf": 0, "bl": 0, "rev": 0, "cmd": 0, "fl": 0, "seed": 0, "pts": 0, "due": 0, "gen": 0, "w": 0, "h": 0, "str": 0, "fmt": "rgb8", "org": "top_left", "cs": "srgb", "drop": 0, "loc": "inline", "slot": 0, "seq": 0},
}
const SERVER_REQUIRED = {
	"welcome": ["proto", "epoch", "session", "role", "caps", "limits", "stream", "frm_port", "lease_ms", "c0", "s1", "s2"],
	"reject": ["code", "text"],
	"pong": ["c0", "s1", "s2"],
	"ack": ["id"],
	"error": ["id", "code", "text"],
	"state": ["id", "cmd", "state"],
	"subscribed": ["id", "st", "mode", "window", "frame_bytes"],
	"saved": ["id", "name", "bytes", "frame", "shot"],
	"chunk": ["id", "offset", "total", "data"],
	"event": ["kind"],
	"result": ["id"],
	"frame": ["st", "f", "src", "sh", "sf", "bl", "rev", "cmd", "fl", "seed", "pts", "due", "gen", "w", "h", "str"],
}
