"""Reading weights, and the only place that knows how checkpoints name them.

Runtime bundles hold safetensors with our own parameter names (`read_tensors`, `load_strict`). Everything below those
two serves ``shotstream convert``: published files are pickles, wrapped in training prefixes, sometimes LoRA deltas.
Pickles are only ever opened with ``weights_only=True``, which cannot run code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor, nn

from ..errors import WeightsError

Tensors = dict[str, Tensor]

MAX_LISTED = 12
"""Names shown in a message before the rest is summed up as a count."""


def read_tensors(path: Path | str, *, device: str = "cpu") -> Tensors:
    """All tensors of a safetensors file, memory-mapped where the platform allows.

    Returns:
        Name to tensor, in the file's dtype, on ``device``.

    Raises:
        WeightsError: the file is missing, empty, truncated, or not safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file; check the bundle folder or fetch the bundle again")
    try:
        tensors: Tensors = load_file(path, device=device)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path}: not a readable safetensors file ({error}; {path.stat().st_size} bytes on disk); "
            "it is damaged or incomplete, copy or fetch it again"
        ) from error
    if not tensors:
        raise WeightsError(f"{path}: holds no tensors; a weights file was expected, copy or fetch it again")
    return tensors


def load_strict(module: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Load ``tensors`` into ``module``; the names and shapes must be exactly the module's own.

    A module on the meta device takes over the given tensors (and their dtype); otherwise values are copied into the
    module's parameters.

    Args:
        what: what is being loaded, for the message, such as ``"dit of storyworld-tiny"``.

    Raises:
        WeightsError: a name is missing or unexpected, or a tensor has another shape or is not floating point.
    """
    own = module.state_dict()
    check_shapes({name: tuple(value.shape) for name, value in own.items()}, tensors, what)
    on_meta = any(value.is_meta for value in own.values())
    module.load_state_dict(dict(tensors), strict=True, assign=on_meta)


def check_shapes(expected: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor], what: str) -> None:
    """Refuse ``tensors`` unless it holds exactly the ``expected`` names, with these shapes, in floating point."""
    complaints = []
    if missing := [name for name in expected if name not in tensors]:
        complaints.append(f"missing: {_listed(missing)}")
    if unexpected := [name for name in tensors if name not in expected]:
        complaints.append(f"unexpected: {_listed(unexpected)}")
    shared = [name for name in expected if name in tensors]
    if wrong := [
        f"{name} is {tuple(tensors[name].shape)}, expected {expected[name]}"
        for name in shared
        if tuple(tensors[name].shape) != expected[name]
    ]:
        complaints.append(f"wrong shape: {_listed(wrong)}")
    if odd := [f"{name} is {tensors[name].dtype}" for name in shared if not tensors[name].is_floating_point()]:
        complaints.append(f"not floating point: {_listed(odd)}")
    if complaints:
        raise WeightsError(
            f"{what}: weights do not fit the network ({len(tensors)} tensors given, {len(expected)} expected); "
            f"{'; '.join(complaints)}. Use weights of the same architecture and sizes"
        )


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more
