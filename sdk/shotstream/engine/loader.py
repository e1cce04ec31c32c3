"""From a bundle to a running engine: pick the device, read the weights, build the networks."""

from __future__ import annotations

import os
from typing import TypeVar

import torch
from torch import nn

from ..bundle import Bundle
from ..errors import DeviceError, WeightsError
from ..model.codec import Codec
from ..model.config import TinyVAEConfig, UMT5Config, WordTextConfig
from ..model.dit import DiT
from ..model.text_types import TextEncoder
from ..model.weights import load_strict, read_tensors
from .torch_engine import TorchEngine

M = TypeVar("M", bound=nn.Module)

ONE_THREAD_PARAMETERS = 20_000_000

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def open_engine(bundle: Bundle, *, device: str = "auto", dtype: str | None = None) -> TorchEngine:
    """Load a bundle's networks.

    Args:
        device: "auto" (CUDA when there is one), "cpu", "cuda" or "cuda:N".
        dtype: "float32", "bfloat16" or "float16"; None takes the bundle's own, and float32 on a CPU, where the
            narrow types are slower.

    Raises:
        DeviceError: the device cannot be used.
        WeightsError: the weights do not fit the description.
    """
    target = pick_device(device)
    number_type = DTYPES[dtype or ("float32" if target.type == "cpu" else bundle.dtype)]
    dit = load_dit(bundle).to(target, number_type)
    if target.type == "cpu":
        _choose_threads(sum(parameter.numel() for parameter in dit.parameters()))
    codec = load_codec(bundle, target, number_type)
    return TorchEngine(
        bundle, dit=dit, codec=codec, text_encoder=load_text_encoder(bundle, target, number_type), device=target
    )


def _choose_threads(num_parameters: int) -> None:
    """Run a small network on one thread of this process, unless ``OMP_NUM_THREADS`` says otherwise.

    Its operations are too short to share: on two cores one thread makes a third more frames than two, does not suffer
    from a neighbour on the other core, and the frames do not depend on how many cores there are.
    """
    if num_parameters < ONE_THREAD_PARAMETERS and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def load_dit(bundle: Bundle) -> DiT:
    """The transformer in the file's dtype, on the CPU, without gradients."""
    with torch.device("meta"):
        dit = DiT(bundle.dit)
    load_strict(dit, read_tensors(bundle.file("dit")), f"dit of {bundle.name}")
    return _frozen(dit)


def load_codec(bundle: Bundle, device: torch.device, dtype: torch.dtype) -> Codec:
    """The video codec of a bundle."""
    if isinstance(bundle.vae, TinyVAEConfig):
        from ..model.tiny_vae import TinyVAE

        with torch.device("meta"):
            codec: nn.Module = TinyVAE(bundle.vae)
    else:
        from ..model.vae import WanVAE

        with torch.device("meta"):
            codec = WanVAE(bundle.vae)
    load_strict(codec, read_tensors(bundle.file("vae")), f"vae of {bundle.name}")
    ready = _frozen(codec).to(device, dtype)
    assert isinstance(ready, Codec)
    return ready


def load_text_encoder(bundle: Bundle, device: torch.device, dtype: torch.dtype) -> TextEncoder:
    """The text encoder of a bundle, with its tokenizer."""
    tensors = read_tensors(bundle.file("text"))
    if isinstance(bundle.text, UMT5Config):
        from ..model.text import UMT5TextEncoder

        # At its full size the encoder takes 11 GB in bfloat16 and twice that in float32, which few machines without a
        # GPU have; its rows are bfloat16 in the published program too.
        dtype = torch.bfloat16 if device.type == "cpu" else dtype
        return UMT5TextEncoder.from_tensors(
            bundle.text, tensors, tokenizer=bundle.file("tokenizer"), device=device, dtype=dtype
        )
    return _word_encoder(bundle, bundle.text, tensors, device)


def _word_encoder(
    bundle: Bundle, config: WordTextConfig, tensors: dict[str, torch.Tensor], device: torch.device
) -> TextEncoder:
    from tokenizers import Tokenizer

    from ..model.word_text import WordTextEncoder

    path = bundle.file("tokenizer")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises a bare Exception for every kind of damage
        raise WeightsError(f"{path}: not a readable tokenizer ({error}); copy or fetch the bundle again") from error
    with torch.device("meta"):
        encoder = WordTextEncoder(config, tokenizer)
    load_strict(encoder, tensors, f"text encoder of {bundle.name}")
    return _frozen(encoder).to(device, torch.float32)


def _frozen(module: M) -> M:
    return module.eval().requires_grad_(False)


def pick_device(device: str) -> torch.device:
    """Turn "auto", "cpu", "cuda" or "cuda:N" into a device that exists.

    Raises:
        DeviceError: CUDA was asked for and cannot be used, or the name is unknown.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise DeviceError(f"device {device!r} is unknown; use 'auto', 'cpu', 'cuda' or 'cuda:N'") from error
    if wanted.type == "cuda" and not torch.cuda.is_available():
        why = (
            "this PyTorch was built without CUDA"
            if torch.version.cuda is None
            else "no CUDA device or driver was found"
        )
        raise DeviceError(
            f"device {device!r} was asked for, but {why}; use device 'cpu', or install a CUDA build of PyTorch"
        )
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"device {device!r} does not exist; this machine has {torch.cuda.device_count()} CUDA devices"
        )
    if wanted.type not in ("cpu", "cuda"):
        raise DeviceError(f"device {device!r} is not supported; use 'auto', 'cpu', 'cuda' or 'cuda:N'")
    return wanted
