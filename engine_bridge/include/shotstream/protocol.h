/* Generated from sdk/shotstream/bridge/messages.py by: python -m engine_bridge.generate */
#ifndef SHOTSTREAM_PROTOCOL_H
#define SHOTSTREAM_PROTOCOL_H

#define SHS_MAGIC "SSB1"

/* Versions of the protocol, and limits in bytes or frames. */
#define SHS_PROTO_MIN 1
#define SHS_PROTO_MAX 1
#define SHS_MAX_CTL_BYTES 65536
#define SHS_MAX_CREDIT_BYTES 1024
#define SHS_MAX_HEADER_BYTES 4096
#define SHS_MAX_WINDOW 64
#define SHS_MAX_CHUNK_BYTES 49152
#define SHS_MAX_SAVE_BYTES 67108864

/* Codes of error and reject. */
#define SHS_E_INVALID (-1)
#define SHS_E_CONNECT (-4)
#define SHS_E_AUTH (-5)
#define SHS_E_VERSION (-6)
#define SHS_E_PROTOCOL (-7)
#define SHS_E_TOO_LARGE (-8)
#define SHS_E_STALE (-9)
#define SHS_E_CLOSED (-11)
#define SHS_E_DENIED (-12)
#define SHS_E_RATE (-13)
#define SHS_E_BUSY (-14)
#define SHS_E_UNKNOWN_TYPE (-15)
#define SHS_E_TIMEOUT (-16)
#define SHS_E_INTERNAL (-99)

/* Bits of a frame's fl. */
#define SHS_FLAG_SHOT_START 1u
#define SHS_FLAG_DISCONTINUITY 64u
#define SHS_FLAG_MODERATED 512u
#define SHS_FLAG_RESTORED 1024u
#define SHS_FLAG_GAP 2048u

/* Bits of events in hello. */
#define SHS_EVENTS_SHOT_START 1u
#define SHS_EVENTS_GAP 2u
#define SHS_EVENTS_ENGINE 4u
#define SHS_EVENTS_SHUTDOWN 8u
#define SHS_EVENTS_BEAT 16u
#define SHS_EVENTS_MODERATION 32u
#define SHS_EVENTS_RESTORED 64u
#define SHS_EVENTS_ALL 127u

/* Roles, from the least; words on the wire. */
#define SHS_ROLE_VIEWER 0
#define SHS_ROLE_TRIGGER 1
#define SHS_ROLE_DIRECTOR 2
#define SHS_ROLE_OPERATOR 3
#define SHS_ROLE_WORDS "viewer", "trigger", "director", "operator"

/* When a cut happens; words on the wire. */
#define SHS_WHEN_BLOCK 0
#define SHS_WHEN_SHOT_END 1
#define SHS_WHEN_NOW 2
#define SHS_WHEN_WORDS "block", "shot_end", "now"

/* What a query asks for; words on the wire. */
#define SHS_QUERY_STATUS 0
#define SHS_QUERY_BEATS 1
#define SHS_QUERY_VARIABLES 2
#define SHS_QUERY_CHECKPOINTS 3
#define SHS_QUERY_WORDS "status", "beats", "variables", "checkpoints"

/* What an event tells; words on the wire. Numbers below 16 are left to the clients. */
#define SHS_EVENT_SHOT_START 16
#define SHS_EVENT_GAP 17
#define SHS_EVENT_ENGINE 18
#define SHS_EVENT_SHUTDOWN 19
#define SHS_EVENT_BEAT 20
#define SHS_EVENT_MODERATION 21
#define SHS_EVENT_RESTORED 22
#define SHS_EVENT_WORDS "shot_start", "gap", "engine", "shutdown", "beat", "moderation", "restored"

/* Where pixels are; words on the wire. */
#define SHS_LOCATION_INLINE 0
#define SHS_LOCATION_SHM 1
#define SHS_LOCATION_WORDS "inline", "shm"

/* Delivery; words on the wire. */
#define SHS_MODE_LATEST 0
#define SHS_MODE_QUEUE 1
#define SHS_MODE_LOSSLESS 2
#define SHS_MODE_WORDS "latest", "queue", "lossless"

/* States of a command; words on the wire. */
#define SHS_STATE_QUEUED 0
#define SHS_STATE_STARTED 1
#define SHS_STATE_GENERATED 2
#define SHS_STATE_ON_AIR 3
#define SHS_STATE_PRESENTED 4
#define SHS_STATE_FAILED 5
#define SHS_STATE_SUPERSEDED 6
#define SHS_STATE_WORDS "queued", "started", "generated", "on_air", "presented", "failed", "superseded"

/* Pixel formats; words on the wire, numbers in shared memory. */
#define SHS_FORMAT_RGBA8 1u
#define SHS_FORMAT_BGRA8 2u
#define SHS_FORMAT_RGB8 3u
#define SHS_FORMAT_NV12 4u
#define SHS_FORMAT_WORDS "rgba8", "bgra8", "rgb8", "nv12"

/* First row in memory; words on the wire, numbers in shared memory. */
#define SHS_ORIGIN_TOP_LEFT 1u
#define SHS_ORIGIN_BOTTOM_LEFT 2u
#define SHS_ORIGIN_WORDS "top_left", "bottom_left"

/* The word in t of every message. */
#define SHS_T_HELLO "hello"
#define SHS_T_PING "ping"
#define SHS_T_BYE "bye"
#define SHS_T_CUT "cut"
#define SHS_T_PROMPT "prompt"
#define SHS_T_WORLD "world"
#define SHS_T_CLEAR "clear"
#define SHS_T_PIN "pin"
#define SHS_T_UNPIN "unpin"
#define SHS_T_HOLD "hold"
#define SHS_T_RESUME "resume"
#define SHS_T_BEAT "beat"
#define SHS_T_VAR "var"
#define SHS_T_PREPARE "prepare"
#define SHS_T_TAKE "take"
#define SHS_T_CANCEL "cancel"
#define SHS_T_CHECKPOINT "checkpoint"
#define SHS_T_RESTORE "restore"
#define SHS_T_BRANCH "branch"
#define SHS_T_UNDO "undo"
#define SHS_T_FORGET "forget"
#define SHS_T_DOWNLOAD "download"
#define SHS_T_UPLOAD "upload"
#define SHS_T_QUERY "query"
#define SHS_T_SUBSCRIBE "subscribe"
#define SHS_T_UNSUBSCRIBE "unsubscribe"
#define SHS_T_WELCOME "welcome"
#define SHS_T_REJECT "reject"
#define SHS_T_PONG "pong"
#define SHS_T_ACK "ack"
#define SHS_T_ERROR "error"
#define SHS_T_STATE "state"
#define SHS_T_SUBSCRIBED "subscribed"
#define SHS_T_SAVED "saved"
#define SHS_T_CHUNK "chunk"
#define SHS_T_EVENT "event"
#define SHS_T_RESULT "result"
#define SHS_T_C "c"
#define SHS_T_FRAME "frame"

#endif
