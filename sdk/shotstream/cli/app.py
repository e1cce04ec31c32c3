"""All commands and their options. What they do lives beside this file and in the package; imports happen when
needed."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from ..film import DEFAULT_BUNDLE
from . import beats

app = typer.Typer(
    name="shotstream",
    help="Streaming text prompts into an endless, coherent, multi-shot film.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(beats.app, name="beats")


class FrameFiles(str, enum.Enum):
    """Whether every frame is also written as a picture."""

    png = "png"
    none = "none"


class Dtype(str, enum.Enum):
    """Number types of converted weights."""

    bf16 = "bf16"
    fp16 = "fp16"
    fp32 = "fp32"


class VerifyTarget(str, enum.Enum):
    """Programs that are verified."""

    tensorrt = "tensorrt"
    tensorrt_rtx = "tensorrt-rtx"


class ServerClock(str, enum.Enum):
    """When a server lets the next frame out: at the film's rate, or when a client has room."""

    realtime = "realtime"
    demand = "demand"


Bundle = Annotated[str, typer.Option(help="Name or folder of a bundle; 'test-chart' needs no weights.")]
Seed = Annotated[int, typer.Option(help="Seed of the noise.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda[:n].")]
Frames = Annotated[FrameFiles, typer.Option(help="Also write every frame as a PNG.")]
Clock = Annotated[ServerClock, typer.Option(help="When the next frame goes out.")]
StoryFile = Annotated[Path, typer.Argument(help="Story in .yaml, .json or .csv.", show_default=False)]
# typer reads these annotations at run time, and "int | None" only from Python 3.10 on as Optional
Row = Annotated[Optional[int], typer.Option(help="Which story of a .csv, from 0.")]  # noqa: UP045


def _version(show: bool) -> None:
    if show:
        from .. import __version__

        typer.echo(f"shotstream {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Options of every command."""


@app.command()
def generate(
    story: StoryFile,
    bundle: Bundle = DEFAULT_BUNDLE,
    seed: Seed = 0,
    out: Annotated[Optional[Path], typer.Option(help="Folder for the files; out/STORY without it.")] = None,  # noqa: UP045
    frames: Frames = FrameFiles.none,
    device: Device = "auto",
    row: Row = None,
) -> None:
    """Make a film from a story file: film.mp4, contact.png, frames.jsonl, report.json."""
    from .record import generate as run

    run(
        story,
        bundle=bundle,
        seed=seed,
        out=out or Path("out") / story.stem,
        frames=frames.value,
        device=device,
        row=row,
    )


@app.command()
def demo(
    bundle: Bundle = DEFAULT_BUNDLE,
    seed: Seed = 7,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("out/demo"),
    frames: Frames = FrameFiles.none,
    device: Device = "auto",
    clock: Clock = ServerClock.realtime,
) -> None:
    """Run a five-shot story in a server, record it here over the bridge, and change it twice while it runs."""
    from .demo import demo as run

    run(bundle=bundle, seed=seed, out=out, frames=frames.value, device=device, clock=clock.value)


@app.command()
def play(
    story: StoryFile,
    bundle: Bundle = DEFAULT_BUNDLE,
    seed: Seed = 0,
    device: Device = "auto",
    row: Row = None,
    scale: Annotated[int, typer.Option(min=1, max=16, help="Window pixels per frame pixel.")] = 4,
) -> None:
    """Show a story live in a window (space: hold and resume, Esc: quit)."""
    from ..film import open
    from ..play import play as show
    from ..play import require_pygame
    from ..story import load_story

    require_pygame()
    parsed = load_story(story, row=row)
    with open(bundle, seed=seed, device=device) as film:
        film.play(parsed)
        shown = show(film, scale=scale)
    typer.echo(f"{shown.frames} frames shown, {shown.late} ticks without a new frame")


@app.command()
def info(
    bundle: Annotated[str, typer.Argument(help="Name or folder of a bundle.")] = DEFAULT_BUNDLE,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    verify: Annotated[bool, typer.Option(help="Hash every file.")] = False,
) -> None:
    """Describe a bundle."""
    from ..bundle import load_bundle
    from ..film import TEST_CHART
    from .tables import print_facts

    if bundle == TEST_CHART:
        from ..testing import describe_chart

        print_facts(describe_chart(), as_json=json)
        return
    loaded = load_bundle(bundle)
    if verify:
        loaded.verify()
    print_facts(loaded.describe(), as_json=json)


@app.command()
def doctor(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what this machine can run, and why not the rest."""
    from ..doctor import diagnose
    from .tables import print_checks

    checks = diagnose()
    print_checks(checks, as_json=json)
    if any(check.needed and not check.ok for check in checks):
        raise typer.Exit(1)


@app.command()
def verify(
    target: Annotated[VerifyTarget, typer.Argument(help="What to build with.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Build a small engine on this machine's GPU, compare it with PyTorch and time it."""
    from .verify import verify as run

    run("tensorrt" if target is VerifyTarget.tensorrt else "tensorrt-rtx", as_json=json)


@app.command()
def bench(
    json: Annotated[Optional[Path], typer.Option(help="Also write the figures to this file.")] = None,  # noqa: UP045
    bundle: Bundle = DEFAULT_BUNDLE,
    seed: Seed = 0,
    device: Device = "auto",
    blocks: Annotated[int, typer.Option(min=4, max=100_000, help="Blocks of the throughput part.")] = 48,
    cuts: Annotated[int, typer.Option(min=2, max=10_000, help="Cuts of each latency part.")] = 8,
    bridge: Annotated[bool, typer.Option("--bridge", help="Measure the bridge instead, with test charts.")] = False,
    seconds: Annotated[float, typer.Option(min=0.5, max=3600, help="Of each case, with --bridge.")] = 10.0,
    soak: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=3, max=10_000, help="Minutes: run a server that long under three clients instead."),
    ] = None,
) -> None:
    """Measure frames a second, latency of cuts, and memory; or how long frames are under way on the bridge."""
    from ..recording import disk_errors, write_json
    from .bench import bench as run
    from .tables import print_facts

    remedy = "choose another file with --json"
    if json is not None:
        # Minutes of measuring must not end in a name that cannot be written.
        with disk_errors(json, remedy):
            json.parent.mkdir(parents=True, exist_ok=True)
            is_new = not json.exists()
            json.open("a").close()
            if is_new:
                json.unlink()
    if soak is not None:
        from .bench_bridge import bench_soak

        figures = bench_soak(minutes=soak)
    elif bridge:
        from .bench_bridge import bench_bridge

        figures = bench_bridge(seconds=seconds)
    else:
        figures = run(bundle=bundle, seed=seed, device=device, num_blocks=blocks, num_cuts=cuts)
        print_facts(figures, as_json=False)
    if json is not None:
        with disk_errors(json, remedy):
            write_json(json, figures)


@app.command()
def convert(
    wan: Annotated[Path, typer.Option(help="Folder of Wan2.1-T2V-1.3B as published.", show_default=False)],
    shotstream: Annotated[Path, typer.Option(help="Student checkpoint (.pt) as published.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle.", show_default=False)],
    dtype: Annotated[Dtype, typer.Option(help="Number type of the weights.")] = Dtype.bf16,
    lora: Annotated[Optional[Path], typer.Option(help="LoRA checkpoint to merge into the student.")] = None,  # noqa: UP045
    lora_scale: Annotated[float, typer.Option(help="Its alpha / rank.")] = 1.0,
    width: Annotated[int, typer.Option(help="Width of the video in pixels.")] = 832,
    height: Annotated[int, typer.Option(help="Height of the video in pixels.")] = 480,
) -> None:
    """Make a bundle from published Wan2.1 and ShotStream checkpoints."""
    from ..convert import convert as run
    from .progress import byte_progress

    with byte_progress() as progress:
        made = run(
            wan,
            shotstream,
            out,
            dtype=dtype.value,
            lora=lora,
            lora_scale=lora_scale,
            width_px=width,
            height_px=height,
            progress=progress,
        )
    typer.echo(f"wrote {made}")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Name of a published model.")] = "shotstream-1.3b",
    dtype: Annotated[Dtype, typer.Option(help="Number type of the weights.")] = Dtype.bf16,
    keep_downloads: Annotated[bool, typer.Option(help="Leave the downloaded files beside the bundle.")] = False,
) -> None:
    """Download published weights and convert them to a bundle."""
    from ..fetch import fetch as run
    from .progress import byte_progress

    with byte_progress() as progress:
        made = run(name, dtype=dtype.value, keep_downloads=keep_downloads, progress=progress)
    typer.echo(f"ready: {made}")


class ExportTarget(str, enum.Enum):
    """What the exported graphs are for."""

    onnx = "onnx"
    tensorrt = "tensorrt"
    tensorrt_rtx = "tensorrt-rtx"


@app.command()
def export(
    bundle: Annotated[str, typer.Argument(help="Name or folder of a bundle.")],
    target: Annotated[ExportTarget, typer.Option(help="Standard graphs, graphs with plugins, or also engines.")],
    out: Annotated[Path, typer.Option(help="Folder for the files.", show_default=False)],
    dtype: Annotated[Optional[Dtype], typer.Option(help="Number type; the bundle's own without it.")] = None,  # noqa: UP045
    gpu: Annotated[Optional[list[str]], typer.Option(help="With tensorrt-rtx: SM89, SM120, ...; repeatable.")] = None,  # noqa: UP045
    force: Annotated[bool, typer.Option("--force", help="Replace an export in the folder.")] = False,
) -> None:
    """Write a bundle as ONNX graphs, or build engines of TensorRT for RTX; a run that was cut off goes on."""
    from .export import export as run

    gpus = gpu or (["SM89"] if target is ExportTarget.tensorrt_rtx else [])
    number_type = None if dtype is None else dtype.value
    run(bundle, target=target.value, out=out, dtype=number_type, gpus=gpus, force=force)


ServerName = Annotated[str, typer.Option("--name", help="Which server on this machine.")]
KeyFile = Annotated[Optional[Path], typer.Option("--keys", help="Own .key_secret file, for other machines.")]  # noqa: UP045


@app.command()
def serve(
    bundle: Bundle = DEFAULT_BUNDLE,
    seed: Seed = 0,
    device: Device = "auto",
    name: ServerName = "default",
    bind: Annotated[str, typer.Option(help="Address; with a port P, frames leave on P + 1.")] = "tcp://127.0.0.1",
    clock: Clock = ServerClock.realtime,
    keys: KeyFile = None,
    allow: Annotated[Optional[Path], typer.Option(help="Folder of clients' public keys, ROLE/*.key.")] = None,  # noqa: UP045
    beats: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Story events that clients may trigger; changes of the file are played."),
    ] = None,
    moderate: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="package.module:NAME of a Moderation, or of a function that judges texts."),
    ] = None,
    deny_words: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Words and phrases, one a line, that no prompt may hold."),
    ] = None,
    saves: Annotated[Optional[Path], typer.Option(help="Folder where checkpoints outlive the server.")] = None,  # noqa: UP045
    until_eof: Annotated[
        bool,
        typer.Option("--until-eof", help="Also stop when standard input ends, for a program with its own server."),
    ] = False,
) -> None:
    """Serve a film to other programs: commands in, frames out."""
    from ..bridge.auth import load_keys
    from ..bridge.moderation import DenyList, load_moderation, with_deny_list
    from ..bridge.server import ServerConfig
    from .bridge import serve as run

    moderation = load_moderation(moderate) if moderate is not None else None
    if deny_words is not None:
        moderation = with_deny_list(moderation, DenyList.read(deny_words))

    pair = load_keys(keys) if keys is not None else None
    config = ServerConfig(name=name, bind=bind, clock=clock.value, keys=pair, allow=allow, saves=saves)
    run(config, bundle=bundle, seed=seed, device=device, until_eof=until_eof, beats=beats, moderation=moderation)


@app.command()
def monitor(
    name: ServerName = "default",
    endpoint: Annotated[Optional[str], typer.Option(help="tcp://IP:PORT of a server elsewhere.")] = None,  # noqa: UP045
    keys: KeyFile = None,
    server_key: Annotated[Optional[Path], typer.Option(help="The server's .key file.")] = None,  # noqa: UP045
    updates: Annotated[Optional[int], typer.Option(min=1, help="Stop after so many.")] = None,  # noqa: UP045
) -> None:
    """Show a running server's figures, once a second."""
    from .bridge import monitor as run

    run(name=name, endpoint=endpoint, keys=keys, server_key=server_key, updates=updates)


class DeliveryMode(str, enum.Enum):
    """What a slow window gets: the newest frame, the newest few, or every one."""

    latest = "latest"
    queue = "queue"
    lossless = "lossless"


class ClientRole(str, enum.Enum):
    """What a client may do, from the least to the most."""

    viewer = "viewer"
    trigger = "trigger"
    director = "director"
    operator = "operator"


@app.command()
def watch(
    name: ServerName = "default",
    mode: Annotated[DeliveryMode, typer.Option(help="What a slow window gets.")] = DeliveryMode.latest,
    role: Annotated[ClientRole, typer.Option(help="'operator' may hold the film with space.")] = ClientRole.viewer,
    endpoint: Annotated[Optional[str], typer.Option(help="tcp://IP:PORT of a server elsewhere.")] = None,  # noqa: UP045
    keys: KeyFile = None,
    server_key: Annotated[Optional[Path], typer.Option(help="The server's .key file.")] = None,  # noqa: UP045
    frames: Annotated[Optional[int], typer.Option(min=1, help="Close the window after so many.")] = None,  # noqa: UP045
    screenshot: Annotated[Optional[Path], typer.Option(help="PNG of the window as it was in the end.")] = None,  # noqa: UP045
) -> None:
    """Show a running server's frames in a window (H: figures, space: hold and resume, Esc: quit)."""
    from ..bridge import connect
    from ..play import require_pygame
    from ..watch import watch as run

    require_pygame()
    with connect(endpoint, name=name, role=role.value, keys=keys, server_key=server_key, client="watch") as client:
        seen = run(client, mode=mode.value, num_frames=frames, screenshot=screenshot)
    typer.echo(f"{seen.frames} frames shown, {seen.dropped} left out")


class Reached(str, enum.Enum):
    """How far a beat has come."""

    started = "started"
    generated = "generated"
    on_air = "on_air"
    presented = "presented"


@app.command()
def trigger(
    beat: Annotated[Optional[str], typer.Argument(help="Name of the beat.", show_default=False)] = None,  # noqa: UP045
    params: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(help="Its parameters, as name=value.", show_default=False),
    ] = None,
    set_: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--set", help="Set a variable of the story first, as name=value; may be repeated."),
    ] = None,
    wait: Annotated[Optional[Reached], typer.Option(help="Wait until the beat has come so far.")] = None,  # noqa: UP045
    timeout: Annotated[float, typer.Option(min=0.1, max=86_400, help="Seconds to wait.")] = 60.0,
    list_: Annotated[bool, typer.Option("--list", help="Show beats and variables instead.")] = False,
    role: Annotated[ClientRole, typer.Option(help="Some beats ask for more than 'trigger'.")] = ClientRole.trigger,
    name: ServerName = "default",
    endpoint: Annotated[Optional[str], typer.Option(help="tcp://IP:PORT of a server elsewhere.")] = None,  # noqa: UP045
    keys: KeyFile = None,
    server_key: Annotated[Optional[Path], typer.Option(help="The server's .key file.")] = None,  # noqa: UP045
) -> None:
    """Make an event of the story happen on a running server."""
    from ..bridge import connect
    from ..errors import ConfigError
    from .story import set_variables, show
    from .story import trigger as run

    if beat is None and not set_ and not list_:
        raise ConfigError("there is nothing to do; name a beat, or use --set or --list")
    with connect(endpoint, name=name, role=role.value, keys=keys, server_key=server_key, client="trigger") as client:
        if set_:
            set_variables(client, set_)
        if beat is not None:
            run(client, beat, params or [], wait.value if wait is not None else None, timeout)
        if list_:
            from rich.console import Console

            Console().print(show(client))


@app.command()
def keygen(
    name: Annotated[str, typer.Argument(help="Name of the key files.")],
    folder: Annotated[Path, typer.Option(help="Where to write them.")] = Path("keys"),
) -> None:
    """Make a key pair for a bridge between machines."""
    from .bridge import keygen as run

    run(folder, name)
