"""Write the ``.meta`` files of the Unity package: ``python -m engine_bridge.unity.meta``.

Unity names every asset by the GUID in the file beside it, and scenes refer to that, so the files are part of the
package. A GUID here is a hash of the asset's path in the package: the same on every machine. A library that was copied
into ``Plugins/x86_64`` gets the settings of its platform.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent / "com.shotstream.bridge"

_TAIL = "  userData:\n  assetBundleName:\n  assetBundleVariant:\n"
_IMPORTERS = {
    ".cs": "MonoImporter:\n  externalObjects: {}\n  serializedVersion: 2\n  defaultReferences: []\n"
    "  executionOrder: 0\n  icon: {instanceID: 0}\n" + _TAIL,
    ".asmdef": "AssemblyDefinitionImporter:\n  externalObjects: {}\n" + _TAIL,
    ".json": "PackageManifestImporter:\n  externalObjects: {}\n" + _TAIL,
    ".md": "TextScriptImporter:\n  externalObjects: {}\n" + _TAIL,
}
_LIBRARIES = {".dll": ("Windows", "Win64"), ".so": ("Linux", "Linux64"), ".dylib": ("OSX", "OSXUniversal")}


def assets() -> Iterator[Path]:
    """Every file and folder of the package that Unity imports: not the package itself, nor what ends with ``~``."""
    for path in sorted(PACKAGE.rglob("*")):
        inside = path.relative_to(PACKAGE).parts
        if path.suffix != ".meta" and not any(part.endswith("~") or part.startswith(".") for part in inside):
            yield path


def meta(path: Path) -> str:
    """The text of the ``.meta`` file beside ``path``."""
    name = path.relative_to(PACKAGE).as_posix()
    guid = hashlib.md5(f"com.shotstream.bridge/{name}".encode(), usedforsecurity=False).hexdigest()
    head = f"fileFormatVersion: 2\nguid: {guid}\n"
    if path.is_dir():
        return head + "folderAsset: yes\nDefaultImporter:\n  externalObjects: {}\n" + _TAIL
    if path.suffix in _LIBRARIES:
        return head + _library(*_LIBRARIES[path.suffix])
    return head + _IMPORTERS[path.suffix]


def _library(system: str, player: str) -> str:
    """Settings of a native library: the editor on ``system``, and the 64-bit player for it."""
    return (
        "PluginImporter:\n  externalObjects: {}\n  serializedVersion: 2\n  isPreloaded: 0\n  isOverridable: 0\n"
        "  platformData:\n"
        "  - first:\n      Any:\n    second:\n      enabled: 0\n      settings: {}\n"
        "  - first:\n      Editor: Editor\n    second:\n      enabled: 1\n      settings:\n"
        f"        CPU: x86_64\n        DefaultValueInitialized: true\n        OS: {system}\n"
        f"  - first:\n      Standalone: {player}\n    second:\n      enabled: 1\n      settings:\n"
        "        CPU: x86_64\n" + _TAIL
    )


def main() -> None:
    """Write them, and remove those whose asset is gone."""
    known = {path.with_name(path.name + ".meta"): meta(path) for path in assets()}
    for path in PACKAGE.rglob("*.meta"):
        if path not in known:
            path.unlink()
    for path, text in known.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
