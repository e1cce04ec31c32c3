"""Published checkpoints: opening pickles safely, undoing training wrappers, merging LoRA, telling architectures apart.

Only ``shotstream convert`` comes here; bundles never hold anything but safetensors under plain names.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError, WeightsError
from .config import DiTConfig, UMT5Config, WanVAEConfig
from .weights import Tensors, check_shapes, list_some, read_tensors, umt5_shapes

STUDENT_KEYS = ("generator", "generator_ema", "model", "state_dict")
"""Where training programs put the network's weights, most wanted first."""

LORA_KEY = "generator_lora"
PUBLISHED_HEAD_DIM = 128
"""Every published Wan transformer splits its width into heads of 128; tensors alone do not say."""

_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_fsdp_wrapped_module|_checkpoint_wrapped_module|_orig_mod|module)\.")
_LORA_NAME = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<half>[AB])(?:\.default)?\.weight")


def open_checkpoint(path: Path | str) -> dict[str, Any]:
    """The dictionary in a ``.pt`` / ``.pth`` or safetensors file; tensors stay on disk until they are used.

    Raises:
        WeightsError: missing, damaged, not a dictionary, or holding anything but tensors and plain values. Such
            pickles could run code when they are opened, so they are not.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return dict(read_tensors(path))
    if not path.is_file():
        raise WeightsError(f"{path}: no such checkpoint; check the path, or download the file again")
    try:
        content = _load(path)
    except pickle.UnpicklingError as error:
        # Of PyTorch's long text only the forbidden name is of use; the rest advises to load the file regardless.
        name = re.search(r"GLOBAL (\S+)", str(error))
        calls = f" (it calls {name[1]})" if name else ""
        raise WeightsError(
            f"{path}: refused, it is no plain tensor checkpoint and opening it could run code{calls}; "
            "use the published file, or save its tensors alone"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise WeightsError(f"{path}: not a readable checkpoint ({error}); it is damaged, download it again") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, a dictionary of tensors was expected")
    return content


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        return torch.load(path, map_location="cpu", weights_only=True)  # the format before PyTorch 1.6


def network_tensors(content: Mapping[str, Any], what: str) -> Tensors:
    """The network's tensors of an opened checkpoint under plain names, whatever they were wrapped in.

    Raises:
        WeightsError: there are none, or two names fall together.
    """
    found = next((content[key] for key in STUDENT_KEYS if isinstance(content.get(key), Mapping)), content)
    named = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    if not named or any("lora_" in name for name in named):
        raise WeightsError(
            f"{what}: holds {_kind(content)} and no complete network (keys: {list_some(map(str, content))}); "
            "give the merged checkpoint, and LoRA files beside it"
        )
    plain: Tensors = {}
    for name, value in named.items():
        short = _plain_name(name)
        if short in plain:
            raise WeightsError(f"{what}: {name} and another tensor both mean {short}; use a checkpoint of one network")
        plain[short] = value
    return plain


def _plain_name(name: str) -> str:
    return _WRAPPERS.sub("", name).removeprefix("model.")


class LoRAMerged(Mapping[str, Tensor]):
    """Tensors of a network with LoRA deltas added, ``W + scale * B A``, each when it is asked for.

    Args:
        base: the network.
        content: an opened LoRA checkpoint, with its pairs at the top or under ``generator_lora``.
        scale: alpha / rank; 1 for the published recipe.

    Raises:
        WeightsError: no pairs, half a pair, or a pair for a layer that the network lacks or that has another shape.
    """

    def __init__(self, base: Mapping[str, Tensor], content: Mapping[str, Any], *, scale: float, what: str) -> None:
        self._base, self._scale = base, scale
        self._pairs = _lora_pairs(content, what)
        complaints = []
        for target, (down, up) in self._pairs.items():
            if target not in base:
                complaints.append(f"{target} is no layer of the network")
            elif (up.shape[0], down.shape[1]) != tuple(base[target].shape) or up.shape[1] != down.shape[0]:
                complaints.append(
                    f"{target} is {tuple(base[target].shape)}, B A is {tuple(up.shape)} x {tuple(down.shape)}"
                )
        if complaints:
            raise WeightsError(f"{what}: does not fit the network: {list_some(complaints)}. Use LoRA of the same model")

    def __getitem__(self, name: str) -> Tensor:
        weight = self._base[name]
        if name not in self._pairs:
            return weight
        down, up = self._pairs[name]
        return (weight.float() + self._scale * (up.float() @ down.float())).to(weight.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._base)

    def __len__(self) -> int:
        return len(self._base)


def _lora_pairs(content: Mapping[str, Any], what: str) -> dict[str, tuple[Tensor, Tensor]]:
    found = content.get(LORA_KEY, content)
    halves: dict[str, dict[str, Tensor]] = {}
    strange = []
    for name, value in found.items() if isinstance(found, Mapping) else ():
        match = _LORA_NAME.fullmatch(_WRAPPERS.sub("", name))
        if match and isinstance(value, Tensor):
            halves.setdefault(_plain_name(match["module"]) + ".weight", {})[match["half"]] = value
        elif isinstance(value, Tensor):
            strange.append(name)
    alone = [target for target, pair in halves.items() if len(pair) == 1]
    if strange or alone or not halves:
        raise WeightsError(
            f"{what}: not a LoRA file of lora_A / lora_B pairs; unexpected: {list_some(strange) or 'none'}; "
            f"half pairs: {list_some(alone) or 'none'}. Use a file with the key {LORA_KEY}"
        )
    return {target: (pair["A"], pair["B"]) for target, pair in halves.items()}


# ---------------------------------------------------------------- telling architectures apart


def _kind(names: Iterable[str]) -> str:
    """What a set of names looks like, for messages."""
    text = "\n".join(map(str, names))
    for pattern, kind in (
        (r"lora_", "LoRA deltas"),
        (
            r"condition_embedder\.|\.attn1\.",
            "a Wan transformer in the diffusers layout (the original layout is needed)",
        ),
        (r"(^|\n)img_emb\.", "a Wan image-to-video transformer (text-to-video is needed)"),
        (r"patch_embedding\.weight", "a Wan transformer"),
        (r"avg_shortcut|downsamples\.0\.downsamples", "a Wan2.2 VAE (the Wan2.1 one is needed)"),
        (r"encoder\.downsamples\.", "a Wan2.1 VAE"),
        (r"token_embedding\.weight", "a UMT5 text encoder"),
        (r"encoder\.block\.\d+\.layer", "a T5 encoder in the transformers layout (the original layout is needed)"),
        (r"down_blocks\.|input_blocks\.", "a U-Net of another model family"),
    ):
        if re.search(pattern, text):
            return kind
    return "an unknown architecture"


def _need(tensors: Mapping[str, Tensor], name: str, wanted: str, what: str, *, axes: int) -> tuple[int, ...]:
    """Shape of a tensor that tells sizes."""
    if name not in tensors:
        raise WeightsError(f"{what}: this is {_kind(tensors)}, {wanted} was expected ({name} is missing)")
    shape = tuple(tensors[name].shape)
    if len(shape) != axes or 0 in shape:
        raise WeightsError(f"{what}: {name} is {shape}, {axes} axes were expected; {wanted} is needed")
    return shape


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """One more than the largest number that ``pattern`` captures in the names, as far as there are tensors for it."""
    numbers = (int(m[1][:9]) for m in map(re.compile(pattern).match, tensors) if m)
    return min(1 + max(numbers, default=-1), len(tensors))


def dit_config(tensors: Mapping[str, Tensor], declared: Mapping[str, Any], what: str) -> DiTConfig:
    """Sizes of a Wan text-to-video transformer from its tensors; names and shapes are then checked one by one.

    Args:
        declared: ``config.json`` of the Wan folder (may be empty): gives the number of heads, the text length and eps,
            and must agree where the tensors speak for themselves.

    Raises:
        WeightsError: another architecture, or names and shapes that do not fit.
    """
    wanted = "the original layout of a Wan2.1 text-to-video transformer"
    if any(name.startswith("img_emb.") for name in tensors):
        raise WeightsError(f"{what}: this is {_kind(tensors)}; {wanted} was expected")
    dim, in_dim, _, _, patch = _need(tensors, "patch_embedding.weight", wanted, what, axes=5)
    sizes = {
        "dim": dim,
        "in_dim": in_dim,
        "ffn_dim": _need(tensors, "blocks.0.ffn.0.weight", wanted, what, axes=2)[0],
        "freq_dim": _need(tensors, "time_embedding.0.weight", wanted, what, axes=2)[1],
        "text_dim": _need(tensors, "text_embedding.0.weight", wanted, what, axes=2)[1],
        "out_dim": _need(tensors, "head.head.weight", wanted, what, axes=2)[0] // patch**2,
        "num_layers": _count(tensors, r"blocks\.(\d+)\."),
    }
    for key, size in sizes.items():
        if declared.get(key, size) != size:
            raise WeightsError(
                f"{what}: {key} is {size} in the tensors and {declared[key]} in config.json; "
                "the files are of different models"
            )
    for key in ("num_heads", "text_len"):
        if not isinstance(declared.get(key, 1), int):
            raise WeightsError(f"{what}: config.json says {key}={declared[key]}, a whole number was expected")
    if not 0 < declared.get("eps", 1e-6) < 1:
        raise WeightsError(f"{what}: config.json says eps={declared['eps']}, a number between 0 and 1 was expected")
    if "num_heads" not in declared and dim % PUBLISHED_HEAD_DIM:
        raise WeightsError(
            f"{what}: width {dim} does not tell the number of heads; put the model's config.json into the Wan folder"
        )
    try:
        config = DiTConfig(
            **sizes,
            patch=patch,
            num_heads=declared.get("num_heads", dim // PUBLISHED_HEAD_DIM),
            text_len=declared.get("text_len", 512),
            eps=declared.get("eps", 1e-6),
        )
    except ConfigError as error:
        raise WeightsError(f"{what}: {error}") from error
    from .dit import DiT

    with torch.device("meta"):
        network = DiT(config)
    _check_network(network, tensors, what)
    return config


def vae_config(tensors: Mapping[str, Tensor], what: str) -> WanVAEConfig:
    """Sizes of a Wan2.1 VAE from its tensors; names and shapes are then checked one by one.

    Raises:
        WeightsError: another architecture, or names and shapes that do not fit.
    """
    wanted = "a Wan2.1 VAE"
    dim = _need(tensors, "encoder.conv1.weight", wanted, what, axes=5)[0]
    z_dim = _need(tensors, "conv2.weight", wanted, what, axes=5)[0]
    widths: list[int] = []
    blocks, in_time = [0], []
    for index in range(_count(tensors, r"encoder\.downsamples\.(\d+)\.")):
        layer = f"encoder.downsamples.{index}"
        if f"{layer}.resample.1.weight" in tensors:
            in_time.append(f"{layer}.time_conv.weight" in tensors)
            blocks.append(0)
            continue
        width = _need(tensors, f"{layer}.residual.6.weight", wanted, what, axes=5)[0]
        blocks[-1] += 1
        widths = [*widths[: len(blocks) - 1], width]
    if len(set(blocks)) != 1 or not blocks[0]:
        raise WeightsError(f"{what}: encoder levels have {blocks} residual blocks; {wanted} has equally many in each")
    try:
        config = WanVAEConfig(
            dim=dim,
            dim_mult=tuple(width // dim for width in widths),
            z_dim=z_dim,
            num_res_blocks=blocks[0],
            temporal_downsample=tuple(in_time),
        )
    except ConfigError as error:
        raise WeightsError(f"{what}: {error}; {wanted} was expected") from error
    from .vae import WanVAE

    with torch.device("meta"):
        network = WanVAE(config)
    _check_network(network, tensors, what)
    return config


def umt5_config(tensors: Mapping[str, Tensor], *, text_len: int, what: str) -> UMT5Config:
    """Sizes of a UMT5 encoder from its tensors; names and shapes are then checked one by one.

    Raises:
        WeightsError: another architecture, or names and shapes that do not fit.
    """
    wanted = "a UMT5 text encoder in the original Wan2.1 layout"
    vocab, dim = _need(tensors, "token_embedding.weight", wanted, what, axes=2)
    buckets, heads = _need(tensors, "blocks.0.pos_embedding.embedding.weight", wanted, what, axes=2)
    dim_attn = _need(tensors, "blocks.0.attn.q.weight", wanted, what, axes=2)[0]
    dim_ffn = _need(tensors, "blocks.0.ffn.fc1.weight", wanted, what, axes=2)[0]
    try:
        config = UMT5Config(
            vocab=vocab,
            dim=dim,
            dim_attn=dim_attn,
            dim_ffn=dim_ffn,
            num_heads=heads,
            num_buckets=buckets,
            num_layers=_count(tensors, r"blocks\.(\d+)\."),
            text_len=text_len,
        )
    except ConfigError as error:
        raise WeightsError(f"{what}: {error}; {wanted} was expected") from error
    check_shapes(umt5_shapes(config), tensors, what)
    return config


def _check_network(network: torch.nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    check_shapes({name: tuple(value.shape) for name, value in network.state_dict().items()}, tensors, what)
