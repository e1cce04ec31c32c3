"""Reading the weights of bundles, strictly: whole files, exactly the names and shapes that a network has.

Parameters carry their published names throughout; the UMT5 encoder runs inside ``transformers``, whose names for the
same parameters are listed here. Published pickles are the business of ``checkpoints.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from .config import UMT5Config

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
        WeightsError: a name is missing or unexpected, or a tensor has another shape, is not floating point, or holds
            values that are not finite.
    """
    own = module.state_dict()
    check_shapes({name: tuple(value.shape) for name, value in own.items()}, tensors, what)
    if broken := [name for name, value in tensors.items() if not _is_finite(value)]:
        raise WeightsError(
            f"{what}: {list_some(broken)} hold values that are not finite; train, convert or fetch the weights again"
        )
    on_meta = any(value.is_meta for value in own.values())
    module.load_state_dict(dict(tensors), strict=True, assign=on_meta)


def _is_finite(value: Tensor) -> bool:
    """Whether every element is; a sum is several times quicker to form, and finite only if they are."""
    return value.is_meta or bool(value.float().sum(dtype=torch.float64).isfinite())


def check_shapes(expected: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor], what: str) -> None:
    """Refuse ``tensors`` unless it holds exactly the ``expected`` names, with these shapes, in floating point."""
    complaints = []
    if missing := [name for name in expected if name not in tensors]:
        complaints.append(f"missing: {list_some(missing)}")
    if unexpected := [name for name in tensors if name not in expected]:
        complaints.append(f"unexpected: {list_some(unexpected)}")
    shared = [name for name in expected if name in tensors]
    if wrong := [
        f"{name} is {tuple(tensors[name].shape)}, expected {expected[name]}"
        for name in shared
        if tuple(tensors[name].shape) != expected[name]
    ]:
        complaints.append(f"wrong shape: {list_some(wrong)}")
    if odd := [f"{name} is {tensors[name].dtype}" for name in shared if not tensors[name].is_floating_point()]:
        complaints.append(f"not floating point: {list_some(odd)}")
    if complaints:
        raise WeightsError(
            f"{what}: weights do not fit the network ({len(tensors)} tensors given, {len(expected)} expected); "
            f"{'; '.join(complaints)}. Use weights of the same architecture and sizes"
        )


def list_some(names: Iterable[str]) -> str:
    """Names for a message, sorted; the first dozen and a count of the rest."""
    names = sorted(names)
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more


# ---------------------------------------------------------------- UMT5 encoder

_UMT5_LAYER = {
    "norm1.weight": "layer.0.layer_norm.weight",
    "attn.q.weight": "layer.0.SelfAttention.q.weight",
    "attn.k.weight": "layer.0.SelfAttention.k.weight",
    "attn.v.weight": "layer.0.SelfAttention.v.weight",
    "attn.o.weight": "layer.0.SelfAttention.o.weight",
    "norm2.weight": "layer.1.layer_norm.weight",
    "ffn.gate.0.weight": "layer.1.DenseReluDense.wi_0.weight",
    "ffn.fc1.weight": "layer.1.DenseReluDense.wi_1.weight",
    "ffn.fc2.weight": "layer.1.DenseReluDense.wo.weight",
    "pos_embedding.embedding.weight": "layer.0.SelfAttention.relative_attention_bias.weight",
}


def umt5_names(num_layers: int) -> dict[str, str]:
    """Published parameter names of the UMT5 encoder (242 at 24 layers), each with its name in ``transformers``."""
    names = {"token_embedding.weight": "shared.weight"}
    for layer in range(num_layers):
        for ours, theirs in _UMT5_LAYER.items():
            names[f"blocks.{layer}.{ours}"] = f"encoder.block.{layer}.{theirs}"
    names["norm.weight"] = "encoder.final_layer_norm.weight"
    return names


def umt5_shapes(config: UMT5Config) -> dict[str, tuple[int, ...]]:
    """Shape of every published parameter of the UMT5 encoder."""
    layer = {
        "norm1.weight": (config.dim,),
        "attn.q.weight": (config.dim_attn, config.dim),
        "attn.k.weight": (config.dim_attn, config.dim),
        "attn.v.weight": (config.dim_attn, config.dim),
        "attn.o.weight": (config.dim, config.dim_attn),
        "norm2.weight": (config.dim,),
        "ffn.gate.0.weight": (config.dim_ffn, config.dim),
        "ffn.fc1.weight": (config.dim_ffn, config.dim),
        "ffn.fc2.weight": (config.dim, config.dim_ffn),
        "pos_embedding.embedding.weight": (config.num_buckets, config.num_heads),
    }
    shapes: dict[str, tuple[int, ...]] = {"token_embedding.weight": (config.vocab, config.dim)}
    for index in range(config.num_layers):
        shapes.update({f"blocks.{index}.{name}": shape for name, shape in layer.items()})
    shapes["norm.weight"] = (config.dim,)
    return shapes
