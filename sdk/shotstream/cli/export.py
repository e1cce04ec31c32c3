"""``shotstream export``: a bundle to graphs and engines."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from ..errors import DeviceError
from .progress import stage_progress

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def export(name: str, *, target: str, out: Path, dtype: str | None, gpus: list[str], force: bool) -> None:
    """Load a bundle's description, export it, and print what there is now."""
    import torch
    from rich.console import Console

    from ..bundle import load_bundle
    from ..engine.loader import DTYPES as NUMBER_TYPES
    from ..engine.loader import load_codec, load_dit, load_text_encoder

    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise DeviceError(f"exporting needs the package {error.name}; run: pip install 'shotstream[export]'") from error
    from ..export.manifest import Target
    from ..export.package import Networks
    from ..export.package import export as run

    bundle = load_bundle(name)
    wanted = bundle.dtype if dtype is None else DTYPES[dtype]
    number_type, cpu = NUMBER_TYPES[wanted], torch.device("cpu")
    networks = Networks(
        dit=lambda: load_dit(bundle).to(number_type),
        codec=lambda: load_codec(bundle, cpu, number_type),
        text=lambda: load_text_encoder(bundle, cpu, number_type),
    )
    with stage_progress() as progress:
        made = run(
            bundle,
            networks,
            out,
            target=cast(Target, target),
            dtype=wanted,
            gpus=tuple(gpus),
            force=force,
            progress=progress,
        )
    size = sum(entry.bytes for entry in made.files)
    Console().print(f"wrote {out}: {', '.join(made.graphs)} ({size / 1e6:.1f} MB, {made.flavour}, {made.dtype})")
