"""Published Wan2.1 and ShotStream checkpoints to a bundle folder.

Everything is opened and checked before a byte is written; tensors go to disk one slice at a time, so the memory needed
does not grow with the model; and the folder appears under its name only when it is whole. torch is loaded on use.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import bundle as bundles
from .disk import check_space, is_disk_full, make_folder
from .errors import CapacityError, ConfigError, WeightsError
from .frames import VideoSpec

if TYPE_CHECKING:
    from torch import Tensor

    from .model.config import DiTConfig, UMT5Config, WanVAEConfig

WAN_CONFIG = "config.json"
WAN_VAE = "Wan2.1_VAE.pth"
WAN_TEXT = "models_t5_umt5-xxl-enc-bf16.pth"
WAN_TOKENIZER = "google/umt5-xxl"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "spiece.model")

DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
SLICE_ELEMENTS = 1 << 23
"""Numbers converted and written at a time."""

SPARE_BYTES = 64 << 20
"""Disk space left free beside the bundle."""

CAPTION_STYLE = (
    "A global caption (characters, setting, style), then for each shot what it shows and how the camera moves; "
    "some hundred words in all."
)
LICENCE = "Apache-2.0 (Wan2.1); for the ShotStream weights see their model card"

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, bytes done, bytes in all)."""


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """Checkpoints that were opened and checked: shapes, and tensors that are read when they are written."""

    dit: DiTConfig
    vae: WanVAEConfig
    text: UMT5Config
    tensors: dict[str, Mapping[str, Tensor]]


def convert(
    wan_dir: Path | str,
    student: Path | str,
    out: Path | str,
    *,
    dtype: str = "bf16",
    lora: Path | str | None = None,
    lora_scale: float = 1.0,
    name: str | None = None,
    width_px: int = 832,
    height_px: int = 480,
    progress: Progress | None = None,
) -> Path:
    """Write a bundle.

    Args:
        wan_dir: the folder of Wan2.1-T2V-1.3B as published. Its own transformer is not needed.
        student: the causal student, such as ``shotstream_merged.pt``.
        out: folder to create; must not exist, or be empty.
        dtype: "bf16", "fp16" or "fp32".
        lora: LoRA checkpoint to merge into the student, ``W + lora_scale * B A``.
        lora_scale: alpha / rank.
        name: of the bundle; None takes the folder's name.
        width_px, height_px: size of the video; the published weights were trained at 832x480.
        progress: called with (what, bytes done, bytes in all).

    Returns:
        ``out``.

    Raises:
        WeightsError: a file is missing, damaged, could run code, or is of another architecture.
        ConfigError: ``out`` is in the way, or an option cannot be used.
        CapacityError: the disk is too small.
    """
    wan_dir, student, out = Path(wan_dir), Path(student), Path(out)
    if dtype not in DTYPES:
        raise ConfigError(f"dtype={dtype!r} must be one of {', '.join(DTYPES)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: already exists; remove it or give another folder")
    _check_inputs(wan_dir, student)
    opened = _open(wan_dir, student, None if lora is None else Path(lora), lora_scale)
    spec = VideoSpec(width_px=width_px, height_px=height_px, latent_channels=opened.dit.in_dim, patch=opened.dit.patch)
    total = sum(_size(value, dtype) for part in opened.tensors.values() for value in part.values())
    make_folder(out.parent)
    check_space(out.parent, total + SPARE_BYTES, what=f"the bundle {out.name}")
    # Beside the target, so that the last step is a rename on one file system.
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        done = 0
        for role, tensors in opened.tensors.items():
            for written in _write_safetensors(scratch / f"{role}.safetensors", tensors, dtype):
                done += written
                if progress is not None:
                    progress(f"writing {role}", done, total)
        _copy_tokenizer(wan_dir / WAN_TOKENIZER, scratch / "tokenizer")
        bundles.write_bundle_toml(scratch, _tables(scratch, name or out.name, opened, spec, dtype, student, lora))
        bundles.load_bundle(scratch)
        scratch.chmod(0o755)
        if out.exists():
            out.rmdir()
        scratch.rename(out)
    except OSError as error:
        if is_disk_full(error):
            raise CapacityError(
                f"{out}: the disk is full, {total / 1e9:.1f} GB are needed; free space or give a folder elsewhere"
            ) from error
        raise ConfigError(f"{out}: cannot be written ({error}); give a folder that can") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return out


def _check_inputs(wan_dir: Path, student: Path) -> None:
    """Name everything that is missing at once."""
    # os.path and not Path: it answers False for a path that is too long or in a folder that may not be read.
    missing = [str(path) for path in (student, wan_dir / WAN_VAE, wan_dir / WAN_TEXT) if not os.path.isfile(path)]
    tokenizer = wan_dir / WAN_TOKENIZER
    if not any(os.path.isfile(tokenizer / file) for file in ("tokenizer.json", "spiece.model")):
        missing.append(f"{tokenizer}/tokenizer.json")
    if missing:
        raise WeightsError(
            f"missing: {', '.join(missing)}. Give the Wan2.1-T2V-1.3B folder (with {WAN_VAE}, {WAN_TEXT} and "
            f"{WAN_TOKENIZER}/) and the student checkpoint as published, or run 'shotstream fetch'"
        )


def _open(wan_dir: Path, student: Path, lora: Path | None, lora_scale: float) -> _Opened:
    """Open and check everything; nothing large is read yet."""
    from .model import checkpoints

    dit_tensors: Mapping[str, Tensor] = checkpoints.network_tensors(checkpoints.open_checkpoint(student), str(student))
    dit = checkpoints.dit_config(dit_tensors, _declared(wan_dir / WAN_CONFIG), str(student))
    if lora is not None:
        content = checkpoints.open_checkpoint(lora)
        dit_tensors = checkpoints.LoRAMerged(dit_tensors, content, scale=lora_scale, what=str(lora))
    vae_path, text_path = wan_dir / WAN_VAE, wan_dir / WAN_TEXT
    vae_tensors = checkpoints.network_tensors(checkpoints.open_checkpoint(vae_path), str(vae_path))
    text_tensors = checkpoints.network_tensors(checkpoints.open_checkpoint(text_path), str(text_path))
    return _Opened(
        dit=dit,
        vae=checkpoints.vae_config(vae_tensors, str(vae_path)),
        text=checkpoints.umt5_config(text_tensors, text_len=dit.text_len, what=str(text_path)),
        tensors={"dit": dit_tensors, "vae": vae_tensors, "text": text_tensors},
    )


def _declared(path: Path) -> dict[str, Any]:
    """The numbers in ``config.json`` of the Wan folder; empty when there is none."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: not readable JSON ({error}); download it again, or remove it") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, an object was expected; download it again")
    if content.get("model_type", "t2v") != "t2v":
        raise WeightsError(f"{path}: model_type is {content['model_type']!r}; the text-to-video model (t2v) is needed")
    return {key: value for key, value in content.items() if isinstance(value, (int, float))}


def _size(tensor: Tensor, dtype: str) -> int:
    return tensor.numel() * (4 if dtype == "fp32" else 2)


def _write_safetensors(path: Path, tensors: Mapping[str, Tensor], dtype: str) -> Iterator[int]:
    """Write tensors in one number type, slice by slice; yields the bytes of each slice.

    Format: header length (8 bytes, little endian), JSON header padded with spaces to 8 bytes, then the data in order.
    """
    import torch

    kind, code = getattr(torch, DTYPES[dtype]), {"bf16": "BF16", "fp16": "F16", "fp32": "F32"}[dtype]
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    names = sorted(tensors)
    for name in names:
        value = tensors[name]
        start, end = end, end + _size(value, dtype)
        header[name] = {"dtype": code, "shape": list(value.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            for piece in tensors[name].detach().reshape(-1).split(SLICE_ELEMENTS):
                number = piece.to(kind)
                if not bool(torch.isfinite(number).all()):
                    raise WeightsError(
                        f"{name}: has values that are not finite in {dtype}; "
                        "use dtype bf16 or fp32, or download the file again"
                    )
                yield file.write(number.contiguous().view(torch.uint8).numpy().data)
        file.flush()
        os.fsync(file.fileno())


def _copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer's files; a lone SentencePiece model is converted, so the runtime needs ``tokenizers`` only."""
    from .model.text import read_tokenizer

    tokenizer = read_tokenizer(source)
    target.mkdir()
    for file in TOKENIZER_FILES:
        if (source / file).is_file():
            shutil.copyfile(source / file, target / file)
    if not (target / "tokenizer.json").is_file():
        tokenizer.save(str(target / "tokenizer.json"))


def _tables(
    folder: Path, name: str, opened: _Opened, spec: VideoSpec, dtype: str, student: Path, lora: Path | str | None
) -> dict[str, Any]:
    """The contents of ``bundle.toml``."""
    from .model.config import ScheduleConfig

    files = {role: bundles.describe_file(folder, f"{role}.safetensors") for role in opened.tensors}
    card = {"source": f"converted from {student.name}, {WAN_VAE} and {WAN_TEXT}", "base": "Wan2.1-T2V-1.3B, ShotStream"}
    if lora is not None:
        card["lora"] = f"merged from {Path(lora).name}"
    return {
        "format": bundles.FORMAT,
        "name": name,
        "licence": LICENCE,
        "description": "Causal few-step multi-shot text-to-video transformer on Wan2.1",
        "caption_style": CAPTION_STYLE,
        "video": dataclasses.asdict(spec),
        "dit": dataclasses.asdict(opened.dit),
        "vae": {"kind": "wan", **dataclasses.asdict(opened.vae)},
        "text": {"kind": "umt5", **dataclasses.asdict(opened.text)},
        "schedule": dataclasses.asdict(ScheduleConfig()),
        "precision": {"dtype": DTYPES[dtype]},
        "files": {**files, "tokenizer": bundles.describe_file(folder, "tokenizer")},
        "card": card,
    }
