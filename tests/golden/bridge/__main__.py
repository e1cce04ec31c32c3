"""Write one message of every type as bytes, and the same as JSON beside it: ``python -m tests.golden.bridge``.

The files bind every client, in whatever language, to the same bytes. Run it after a deliberate change of the protocol
only, and say so in the changelog.
"""

from pathlib import Path

import msgspec

from shotstream.bridge import messages as m
from shotstream.bridge import wire

FOLDER = Path(__file__).parent
ASKED = {"id": 7, "ep": 2**63 - 1, "ttl": 2000, "ts": -5_000_000_000}

EXAMPLES: dict[str, m.Message] = {
    "hello": m.Hello(
        proto_min=1,
        proto_max=1,
        client="game",
        engine="unity",
        role="director",
        token="ab" * 32,
        caps=("frames.inline",),
        events=15,
        resume=42,
        c0=1_000_000_007,
        on_disconnect="hold",
    ),
    "hello_smallest": m.Hello(proto_min=1, proto_max=1),
    "ping": m.Ping(c0=1_000_000_007),
    "bye": m.Bye(reason="closed"),
    "cut": m.CutRequest(**ASKED, text="wide shot: a fox, snöwy ☃", when="shot_end", frames=81, seed=2**63 - 1),
    "cut_smallest": m.CutRequest(**ASKED, text="a fox"),
    "prompt": m.PromptRequest(**ASKED, text="the fox sleeps"),
    "world": m.WorldRequest(**ASKED, text=""),
    "clear": m.ClearRequest(**ASKED),
    "pin": m.PinRequest(**ASKED, shot=3, frame=12),
    "unpin": m.UnpinRequest(**ASKED),
    "hold": m.HoldRequest(**ASKED),
    "resume": m.ResumeRequest(**ASKED),
    "beat": m.BeatRequest(
        **ASKED, name="boss_reveal", params={"place": "the pier", "size": 3, "threat": 0.5, "night": True}
    ),
    "beat_smallest": m.BeatRequest(**ASKED, name="rain"),
    "var": m.VarRequest(**ASKED, set={"weather": "fog", "health": -7, "threat": 0.25, "met_owl": False}),
    "prepare": m.PrepareRequest(**ASKED, text="an owl in a barn", frames=45, seed=3),
    "take": m.TakeRequest(**ASKED, cmd=3),
    "cancel": m.CancelRequest(**ASKED),
    "checkpoint": m.CheckpointRequest(**ASKED, name="before_choice"),
    "restore": m.RestoreRequest(**ASKED, name="before_choice"),
    "branch": m.BranchRequest(**ASKED, name="before_choice", seed=9),
    "undo": m.UndoRequest(**ASKED, n=2),
    "forget": m.ForgetRequest(**ASKED, name="before_choice"),
    "download": m.DownloadRequest(**ASKED, name="before_choice", offset=49152),
    "upload": m.UploadRequest(**ASKED, name="before_choice", total=5, offset=0, data=b"\x00\x01\xfe\xffA"),
    "query": m.QueryRequest(**ASKED),
    "query_all": m.QueryRequest(**ASKED, what=("status", "beats", "variables", "checkpoints")),
    "subscribe": m.SubscribeRequest(
        **ASKED, mode="queue", fmt="bgra8", org="bottom_left", n=4, after=99, loc=("shm", "inline")
    ),
    "unsubscribe": m.UnsubscribeRequest(**ASKED),
    "welcome": m.Welcome(
        proto=1,
        epoch=2**63 - 1,
        session=42,
        role="director",
        caps=m.CAPABILITIES,
        limits=m.Limits(ctl_bytes=65536, prompt_chars=4000, rate_hz=20, burst=40, window=64),
        stream=m.StreamInfo(w=832, h=480, fmts=m.FORMATS, rate=(16, 1), bundle="shotstream-1.3b"),
        frm_port=5571,
        lease_ms=5000,
        c0=1_000_000_007,
        s1=5,
        s2=6,
        resumed=True,
    ),
    "reject": m.Reject(code=-5, text="the token is not one of this server's"),
    "pong": m.Pong(c0=1_000_000_007, s1=5, s2=6),
    "ack": m.Ack(id=7, cmd=3),
    "error": m.Error(id=7, code=-13, text="too many requests", retry_ms=50),
    "state": m.State(id=7, cmd=3, state="on_air", frame=21, lat={"queued": 0.25, "on_air": 120.5}, text="a note"),
    "subscribed": m.Subscribed(id=7, st=1, mode="latest", window=2, frame_bytes=832 * 480 * 3),
    "subscribed_shm": m.Subscribed(
        id=7,
        st=1,
        mode="latest",
        window=1,
        frame_bytes=832 * 480 * 4,
        shm=m.SharedMemory(name="/shotstream-1000-4242-0123456789abcdef", slots=8, stride=3328),
    ),
    "saved": m.Saved(id=7, name="before_choice", bytes=5_400_000, frame=200, shot=3),
    "chunk": m.Chunk(id=7, offset=0, total=5, data=b"\x00\x01\xfe\xffA"),
    "event": m.Event(kind="gap", frame=21, count=3),
    "event_beat": m.Event(kind="beat", name="boss_reveal", text="running"),
    "result": m.Result(
        id=7,
        status=m.Status(
            bundle="shotstream-1.3b",
            device="cuda:0",
            uptime_s=12.5,
            frame=200,
            shot=3,
            held=False,
            fps=16.0,
            rate=16.0,
            late=0,
            viewers=(m.Viewer(client="game", role="viewer", mode="latest", sent=9, dropped=1, waiting=0, age_ms=1.5),),
            block_ms=500.0,
            headroom=0.25,
        ),
    ),
    "result_story": m.Result(
        id=7,
        beats=(
            m.BeatInfo(
                name="boss_reveal",
                ready=False,
                why="it is ready in 2.5 s",
                params={
                    "place": m.Param(type="string", max=60),
                    "size": m.Param(type="enum", values=("huge", "giant"), default="huge"),
                },
            ),
            m.BeatInfo(name="rain", ready=True),
        ),
        variables={"weather": "fog", "health": -7, "threat": 0.25, "met_owl": False},
        checkpoints=(m.CheckpointInfo(name="before_choice", bytes=5_400_000, frame=200, shot=3, parent="start"),),
    ),
    "credit": m.Credit(s=42, st=1, n=2, rel=20, presented=1_000_000_007),
    "frame": m.FrameHeader(
        st=1,
        f=2**40,
        src=2**40 - 7,
        sh=3,
        sf=0,
        bl=0,
        rev=1,
        cmd=3,
        fl=1,
        seed=2**63 - 1,
        pts=62_500_000,
        due=-1,
        gen=5,
        w=832,
        h=480,
        str=832 * 4,
        fmt="bgra8",
        org="bottom_left",
        drop=2,
    ),
    "frame_shm": m.FrameHeader(
        st=1,
        f=21,
        src=21,
        sh=3,
        sf=0,
        bl=0,
        rev=1,
        cmd=3,
        fl=1,
        seed=7,
        pts=62_500_000,
        due=5,
        gen=5,
        w=832,
        h=480,
        str=3328,
        fmt="rgba8",
        loc="shm",
        slot=5,
        seq=44,
    ),
}


def header(message: m.Message) -> bytes:
    """The bytes of the header part."""
    return wire.encode(message)[1]


def main() -> None:
    """Write the files anew and remove those of messages that are gone."""
    for path in FOLDER.glob("*.bin"):
        path.unlink()
    for name, message in EXAMPLES.items():
        (FOLDER / f"{name}.bin").write_bytes(header(message))
    shown = {name: msgspec.to_builtins(message) for name, message in EXAMPLES.items()}
    (FOLDER / "messages.json").write_bytes(msgspec.json.format(msgspec.json.encode(shown)) + b"\n")


if __name__ == "__main__":
    main()
