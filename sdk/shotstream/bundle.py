"""Bundles: a folder with ``bundle.toml`` and safetensors, the only thing the runtime loads. No torch is imported here.

A name is looked up among the bundles inside the package, then in the bundle home (``SHOTSTREAM_HOME``, or
``~/.cache/shotstream/bundles``); anything with a path separator, or an existing folder, is taken as a path.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .errors import ConfigError, WeightsError
from .frames import VideoSpec
from .model.config import DiTConfig, ScheduleConfig, TinyVAEConfig, UMT5Config, WanVAEConfig, WordTextConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FORMAT = 1
MAX_TOML_BYTES = 256 * 1024
HASH_ON_OPEN_BYTES = 64 * 2**20
"""Files up to this size are hashed whenever a bundle is opened; larger ones by ``Bundle.verify()``."""

FILE_ROLES = ("dit", "vae", "text", "tokenizer")
DTYPES = ("float32", "bfloat16", "float16")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class BundleFile:
    """One file or folder of a bundle: path inside it, SHA-256 (hex) and size."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A checked description of a bundle; holds no weights.

    Attributes:
        path: its folder.
        spec: sizes of the video and of the caches.
        dit, vae, text, schedule: shapes of the networks and the noise levels.
        dtype: "float32", "bfloat16" or "float16", in which the networks are meant to run.
        caption_style: how captions were phrased in training.
        card: how the weights were made.
    """

    path: Path
    name: str
    licence: str
    description: str
    caption_style: str
    spec: VideoSpec
    dit: DiTConfig
    vae: WanVAEConfig | TinyVAEConfig
    text: UMT5Config | WordTextConfig
    schedule: ScheduleConfig
    dtype: str
    files: dict[str, BundleFile]
    card: dict[str, str]

    def file(self, role: str) -> Path:
        """Path of the file for ``role`` ("dit", "vae", "text" or "tokenizer")."""
        return self.path / self.files[role].path

    @property
    def fingerprint(self) -> str:
        """Short name of exactly these weights, sizes and noise levels; snapshots carry it."""
        joined = "".join(self.files[role].sha256 for role in FILE_ROLES) + repr((self.spec, self.schedule))
        return hashlib.sha256(joined.encode()).hexdigest()[:16]

    def verify(self) -> None:
        """Hash every file.

        Raises:
            WeightsError: a file differs from what ``bundle.toml`` says.
        """
        for entry in self.files.values():
            _check_file(self.path, entry, hash_it=True)

    def describe(self) -> dict[str, Any]:
        """Plain values for people and JSON: sizes, parameters on disk, schedule, licence, card."""
        spec = self.spec
        return {
            "name": self.name,
            "path": str(self.path),
            "licence": self.licence,
            "description": self.description,
            "caption_style": self.caption_style,
            "size": f"{spec.width_px}x{spec.height_px}",
            "fps": spec.fps,
            "latent": f"{spec.latent_channels}x{spec.latent_height}x{spec.latent_width}",
            "frames_per_block": spec.block_lat * spec.time_factor,
            "window_lat": spec.window_lat,
            "context_lat": spec.context_lat,
            "dit": f"{self.dit.num_layers} layers x {self.dit.dim}, {self.dit.num_heads} heads",
            "vae": type(self.vae).__name__.removesuffix("Config"),
            "text": type(self.text).__name__.removesuffix("Config"),
            "schedule": {"shift": self.schedule.shift, "steps": list(self.schedule.steps)},
            "dtype": self.dtype,
            "files": {role: f"{entry.path} ({entry.bytes / 2**20:.1f} MiB)" for role, entry in self.files.items()},
            "fingerprint": self.fingerprint,
            "card": dict(self.card),
        }


def embedded_bundles() -> list[str]:
    """Names of the bundles inside the package."""
    root = Path(__file__).parent / "bundles"
    return sorted(folder.name for folder in root.iterdir() if (folder / "bundle.toml").is_file())


def bundle_home() -> Path:
    """Where fetched bundles live."""
    home = os.environ.get("SHOTSTREAM_HOME")
    return Path(home) if home else Path.home() / ".cache" / "shotstream" / "bundles"


def is_export(name: str) -> bool:
    """Whether this is the folder of ``shotstream export`` and no bundle."""
    try:
        return (Path(name) / "manifest.json").is_file() and not (Path(name) / "bundle.toml").is_file()
    except OSError:  # too long for a path
        return False


def find_bundle(name: str | os.PathLike[str]) -> Path:
    """Folder of a bundle given by name or path.

    Raises:
        WeightsError: nothing there; the message lists what is.
    """
    text = os.fspath(name)
    candidates = [Path(text)]
    if not any(separator in text for separator in ("/", "\\")):
        candidates += [Path(__file__).parent / "bundles" / text, bundle_home() / text]
    try:
        for folder in candidates:
            if (folder / "bundle.toml").is_file():
                return folder
        is_folder = Path(text).is_dir()
    except OSError as error:  # too long for a path, or in a folder that may not be read
        raise WeightsError(
            f"{text[:200]}: cannot be looked up ({error.strerror}); name a bundle folder that can be read"
        ) from error
    if is_folder:
        raise WeightsError(
            f"{text}: this folder has no bundle.toml; name a bundle folder, or make one with 'shotstream convert'"
        )
    home = bundle_home()
    fetched = sorted(f.parent.name for f in home.glob("*/bundle.toml")) if home.is_dir() else []
    raise WeightsError(
        f"{text}: no such bundle; there are {', '.join(embedded_bundles() + fetched) or 'none'} by name. "
        "Give a bundle folder, or run 'shotstream fetch' or 'shotstream convert'"
    )


def load_bundle(name: str | os.PathLike[str]) -> Bundle:
    """Read and check a bundle's description and files.

    Raises:
        WeightsError: missing, unreadable, of another format, unknown keys, or files that differ from the description.
        ConfigError: sizes that cannot work together.
    """
    path = find_bundle(name)
    bundle = read_description(path / "bundle.toml")
    for entry in bundle.files.values():
        _check_file(path, entry, hash_it=entry.bytes <= HASH_ON_OPEN_BYTES)
    return bundle


def read_description(file: Path) -> Bundle:
    """Read and check a bundle's description alone; the files that it names may lie elsewhere.

    Raises:
        WeightsError, ConfigError: as :func:`load_bundle`.
    """
    path, tables = file.parent, _read_toml(file)
    where = f"{file}"
    _refuse_unknown(
        tables, {"format", "name", "licence", "description", "caption_style", "video", "dit", "vae", "text", "schedule",
                 "precision", "files", "card"}, where, ""
    )  # fmt: skip
    if tables.get("format") != FORMAT:
        raise WeightsError(
            f"{where}: format={tables.get('format')!r}, this version reads format={FORMAT}; convert the weights again"
        )
    vae, text = dict(_table(tables, "vae", where)), dict(_table(tables, "text", where))
    vae_kind, text_kind = vae.pop("kind", None), text.pop("kind", None)
    vae_types = {"wan": WanVAEConfig, "tiny": TinyVAEConfig}
    text_types = {"umt5": UMT5Config, "word": WordTextConfig}
    for key, kind, types in (("vae", vae_kind, vae_types), ("text", text_kind, text_types)):
        if kind not in types:
            raise WeightsError(f"{where}: {key}.kind={kind!r} must be one of {sorted(types)}")
    precision = _table(tables, "precision", where)
    _refuse_unknown(precision, {"dtype"}, where, "precision.")
    if precision.get("dtype") not in DTYPES:
        raise WeightsError(f"{where}: precision.dtype={precision.get('dtype')!r} must be one of {DTYPES}")
    files_table = _table(tables, "files", where)
    _refuse_unknown(files_table, set(FILE_ROLES), where, "files.")
    files = {role: _typed(_table(files_table, role, where), BundleFile, where, f"files.{role}") for role in FILE_ROLES}
    bundle = Bundle(
        path=path,
        name=_text(tables, "name", where),
        licence=_text(tables, "licence", where),
        description=_text(tables, "description", where),
        caption_style=_text(tables, "caption_style", where),
        spec=_typed(_table(tables, "video", where), VideoSpec, where, "video"),
        dit=_typed(_table(tables, "dit", where), DiTConfig, where, "dit"),
        vae=_typed(vae, vae_types[vae_kind], where, "vae"),
        text=_typed(text, text_types[text_kind], where, "text"),
        schedule=_typed(_table(tables, "schedule", where), ScheduleConfig, where, "schedule"),
        dtype=precision["dtype"],
        files=files,
        card={key: str(value) for key, value in _table(tables, "card", where).items()},
    )
    _check_agreement(bundle, where)
    return bundle


def write_bundle_toml(path: Path, tables: dict[str, Any]) -> None:
    """Write ``bundle.toml`` from plain tables (the inverse of reading; values are numbers, strings, lists, tables)."""
    path.joinpath("bundle.toml").write_bytes(msgspec.toml.encode(tables))


def describe_file(folder: Path, relative: str) -> dict[str, Any]:
    """The ``[files.*]`` entry of a file or folder."""
    digest, size = digest_of(folder / relative)
    return {"path": relative, "sha256": digest, "bytes": size}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_TOML_BYTES:
            raise WeightsError(f"{path}: {path.stat().st_size} bytes, a description has at most {MAX_TOML_BYTES}")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise WeightsError(
            f"{path}: not a readable bundle description ({error}); copy or fetch the bundle again"
        ) from error


def _table(tables: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    value = tables.get(key)
    if not isinstance(value, dict):
        raise WeightsError(f"{where}: table [{key}] is missing; copy or fetch the bundle again")
    return value


def _text(tables: dict[str, Any], key: str, where: str) -> str:
    value = tables.get(key)
    if not isinstance(value, str):
        raise WeightsError(f"{where}: {key}={value!r} must be a string")
    return value


def _refuse_unknown(table: dict[str, Any], known: set[str], where: str, prefix: str) -> None:
    if unknown := sorted(set(table) - known):
        raise WeightsError(f"{where}: unknown key {prefix}{unknown[0]}; expected {', '.join(sorted(known))}")


def _typed(table: dict[str, Any], kind: type[T], where: str, prefix: str) -> T:
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    _refuse_unknown(table, known, where, f"{prefix}.")
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise WeightsError(f"{where}: [{prefix}] {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _check_agreement(bundle: Bundle, where: str) -> None:
    """Sizes that stand in two tables must agree."""
    spec, dit, vae, text = bundle.spec, bundle.dit, bundle.vae, bundle.text
    vae_channels = vae.latent_channels if isinstance(vae, TinyVAEConfig) else vae.z_dim
    text_dim = text.text_dim if isinstance(text, WordTextConfig) else text.dim
    for left, a, right, b in (
        ("dit.in_dim", dit.in_dim, "video.latent_channels", spec.latent_channels),
        ("dit.out_dim", dit.out_dim, "video.latent_channels", spec.latent_channels),
        ("dit.patch", dit.patch, "video.patch", spec.patch),
        ("vae latent channels", vae_channels, "video.latent_channels", spec.latent_channels),
        ("text width", text_dim, "dit.text_dim", dit.text_dim),
        ("text rows", text.text_len, "dit.text_len", dit.text_len),
        ("space factor of the vae", 8, "video.space_factor", spec.space_factor),
        ("time factor of the vae", 4, "video.time_factor", spec.time_factor),
    ):
        if a != b:
            raise WeightsError(f"{where}: {left}={a} and {right}={b} must be equal; the parts are of different models")


def digest_of(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a file; of a folder: over the names and contents of its files, in order."""
    digest, size = hashlib.sha256(), 0
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
                size += len(chunk)
    return digest.hexdigest(), size


def _check_file(folder: Path, entry: BundleFile, *, hash_it: bool) -> None:
    if not _PLAIN_NAME.fullmatch(entry.path):
        raise WeightsError(f"{folder / 'bundle.toml'}: file path {entry.path!r} must be a plain name inside the bundle")
    path = folder / entry.path
    if not path.exists():
        raise WeightsError(f"{path}: missing; copy or fetch the bundle again")
    size = path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    if size != entry.bytes:
        raise WeightsError(
            f"{path}: {size} bytes, {entry.bytes} expected; it is incomplete, copy or fetch the bundle again"
        )
    if hash_it and digest_of(path)[0] != entry.sha256:
        raise WeightsError(
            f"{path}: SHA-256 differs from bundle.toml; the file is damaged, copy or fetch the bundle again"
        )
