"""Download published weights and convert them: ``fetch("shotstream-1.3b")``.

Downloads go through ``huggingface_hub``: they resume where they stopped, and ``HF_ENDPOINT`` names another server. Each
large file is compared with the SHA-256 that the hub states, and the room on the disk is checked before the first byte.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .bundle import bundle_home, digest_of, load_bundle
from .convert import (
    SPARE_BYTES,
    TOKENIZER_FILES,
    WAN_CONFIG,
    WAN_TEXT,
    WAN_TOKENIZER,
    WAN_VAE,
    convert,
)
from .disk import check_space, is_disk_full, make_folder
from .errors import CapacityError, ConfigError, DeviceError, WeightsError

Progress = Callable[[str, int, int], None]

DOWNLOADS = ".downloads"
"""Folder beside the bundles where unfinished downloads wait to be resumed."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A published model: what to take from which repository of the hub.

    Attributes:
        wan_repo, wan_files: video autoencoder, text encoder, tokenizer and sizes.
        student_repo, student_file: the causal student.
    """

    wan_repo: str
    wan_files: tuple[str, ...]
    student_repo: str
    student_file: str

    @property
    def wanted(self) -> dict[str, tuple[str, ...]]:
        """Files per repository."""
        return {self.student_repo: (self.student_file,), self.wan_repo: self.wan_files}


SOURCES = {
    "shotstream-1.3b": Source(
        wan_repo="Wan-AI/Wan2.1-T2V-1.3B",
        wan_files=(WAN_CONFIG, WAN_VAE, WAN_TEXT, *(f"{WAN_TOKENIZER}/{file}" for file in TOKENIZER_FILES)),
        student_repo="KlingTeam/ShotStream",
        student_file="shotstream_merged.pt",
    )
}


@dataclass(frozen=True)
class _RemoteFile:
    """A file of the hub at one commit; ``sha256`` is None for small files kept in git itself."""

    repo: str
    commit: str
    name: str
    size: int
    sha256: str | None


def fetch(
    name: str = "shotstream-1.3b",
    *,
    dtype: str = "bf16",
    home: Path | str | None = None,
    keep_downloads: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Download, check and convert a published model; a bundle that is already there is returned as it is.

    Args:
        name: one of ``SOURCES``.
        dtype: number type of the bundle, "bf16", "fp16" or "fp32".
        home: where bundles live; None takes ``SHOTSTREAM_HOME`` or the user's cache.
        keep_downloads: leave the downloaded files beside the bundle.
        progress: called with (what, bytes done, bytes in all), per file of a download and while converting. The hub's
            own progress bars are shown as well, on a terminal.

    Returns:
        folder of the bundle.

    Raises:
        ConfigError: unknown name.
        DeviceError: ``huggingface_hub`` is not installed.
        WeightsError: the hub cannot be reached or lacks a file, or a file arrived damaged.
        CapacityError: the disk is too small.
    """
    if name not in SOURCES:
        raise ConfigError(f"{name!r} is no published model; choose one of {', '.join(SOURCES)}")
    source = SOURCES[name]
    root = bundle_home() if home is None else Path(home)
    target = root / name
    if (target / "bundle.toml").is_file():
        load_bundle(target)
        return target
    hub = _hub()
    make_folder(root)
    downloads = root / DOWNLOADS / name
    files = _describe(hub, source)
    # Downloads and bundle lie side by side for a while; what an earlier try left need not be downloaded again.
    present = sum(path.stat().st_size for path in downloads.rglob("*") if path.is_file()) if downloads.is_dir() else 0
    total = sum(file.size for file in files)
    check_space(root, max(total - present, 0) + total + SPARE_BYTES, what=f"downloading and converting {name}")
    done = 0
    for file in files:
        if progress is not None:
            progress(f"downloading {file.name}", done, total)
        _download(hub, file, downloads, source)
        done += file.size
    if progress is not None:
        progress("downloaded", done, total)
    folders = {repo: downloads / repo.split("/")[-1] for repo in source.wanted}
    convert(
        folders[source.wan_repo],
        folders[source.student_repo] / source.student_file,
        target,
        dtype=dtype,
        name=name,
        progress=progress,
    )
    if not keep_downloads:
        shutil.rmtree(downloads, ignore_errors=True)
    return target


def manual_route(source: Source) -> str:
    """What to do by hand where the hub cannot be reached."""
    lists = "; ".join(f"from {repo}: {', '.join(files)}" for repo, files in source.wanted.items())
    folder = source.wan_repo.split("/")[-1]
    return (
        f"on a machine with access download {lists}; copy them here, keeping the folders, and run "
        f"'shotstream convert --wan {folder} --shotstream {source.student_file} --out BUNDLE'"
    )


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise DeviceError(
            "downloading needs the package huggingface_hub; install the extra: pip install 'shotstream[wan]'"
        ) from error
    return huggingface_hub


def _describe(hub: Any, source: Source) -> list[_RemoteFile]:
    """Ask the hub for commit, size and hash of every wanted file."""
    found = []
    for repo, names in source.wanted.items():
        try:
            info = hub.HfApi().model_info(repo, files_metadata=True)
        except Exception as error:  # the hub's client raises errors of several libraries
            raise _unreachable(repo, error, source) from error
        listed = {sibling.rfilename: sibling for sibling in info.siblings or ()}
        if missing := [name for name in names if name not in listed]:
            raise WeightsError(
                f"{repo} at {hub.constants.ENDPOINT} lacks {', '.join(missing)}; it may have been renamed: "
                f"{manual_route(source)}"
            )
        for name in names:
            lfs = listed[name].lfs
            found.append(_RemoteFile(repo, info.sha, name, listed[name].size or 0, lfs.sha256 if lfs else None))
    return found


def _download(hub: Any, file: _RemoteFile, downloads: Path, source: Source) -> None:
    """Bring one file here, resuming what is there, and compare it with what the hub said."""
    try:
        path = Path(
            hub.hf_hub_download(
                file.repo, file.name, revision=file.commit, local_dir=downloads / file.repo.split("/")[-1]
            )
        )
    except Exception as error:
        if is_disk_full(error):
            raise CapacityError(
                f"{downloads}: the disk is full; {file.name} has {file.size / 1e9:.1f} GB. "
                "Free space and run fetch again, which resumes"
            ) from error
        raise _unreachable(f"{file.repo}/{file.name}", error, source) from error
    size = path.stat().st_size
    damaged = size != file.size or (file.sha256 is not None and digest_of(path)[0] != file.sha256)
    if damaged:
        path.unlink()
        raise WeightsError(
            f"{path}: arrived damaged ({size} bytes, {file.size} expected, or another SHA-256) and was removed; "
            "run fetch again"
        )


def _unreachable(what: str, error: Exception, source: Source) -> WeightsError:
    from huggingface_hub import constants

    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return WeightsError(
        f"{what}: cannot be fetched from {constants.ENDPOINT} ({type(error).__name__}: {reason}). Check the connection "
        f"and HF_ENDPOINT and run fetch again, which resumes; or {manual_route(source)}"
    )
