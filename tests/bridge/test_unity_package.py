"""The Unity package: its files are as Unity expects them, and its scripts compile against stubs of Unity's classes."""

import json
import re

import pytest

from engine_bridge.unity import meta
from tests.bridge.csharp import PACKAGE, ROOT, compile_csharp, compile_scripts, needs_mcs


def test_every_asset_has_its_meta_file():
    for path in meta.assets():
        beside = path.with_name(path.name + ".meta")
        assert beside.exists() and beside.read_text() == meta.meta(path), (
            f"{beside.name}: run python -m engine_bridge.unity.meta"
        )
    known = {path.name + ".meta" for path in meta.assets()}
    assert {path.name for path in PACKAGE.rglob("*.meta")} <= known


def test_guids_are_unique_and_stay():
    texts = [meta.meta(path) for path in meta.assets()]
    guids = [re.search(r"^guid: ([0-9a-f]{32})$", text, re.M)[1] for text in texts]
    assert len(set(guids)) == len(guids) > 20
    # a scene that has the component refers to it by this
    client = (PACKAGE / "Runtime/ShotstreamClient.cs.meta").read_text()
    assert "guid: 80b06688ab28662cd98d520de7a4dd32\n" in client


@pytest.mark.parametrize("name", ["shotstream_bridge.dll", "libshotstream_bridge.so", "libshotstream_bridge.dylib"])
def test_libraries_are_for_their_platform_alone(name):
    text = meta.meta(PACKAGE / "Plugins/x86_64" / name)
    player = {"dll": "Win64", "so": "Linux64", "dylib": "OSXUniversal"}[name.rsplit(".")[-1]]
    assert text.startswith("fileFormatVersion: 2\n") and f"Standalone: {player}" in text
    assert "Any:\n    second:\n      enabled: 0" in text


def test_the_manifest_names_what_is_there():
    manifest = json.loads((PACKAGE / "package.json").read_text())
    assert manifest["name"] == PACKAGE.name == "com.shotstream.bridge"
    assert re.fullmatch(r"\d+\.\d+\.\d+", manifest["version"])
    assert f"## {manifest['version']}\n" in (PACKAGE / "CHANGELOG.md").read_text()
    for sample in manifest["samples"]:
        assert list((PACKAGE / sample["path"]).glob("*.cs"))
    assert (PACKAGE / "LICENSE.md").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_assemblies_refer_to_each_other():
    assemblies = {}
    for path in PACKAGE.rglob("*.asmdef"):
        one = json.loads(path.read_text())
        assert one["name"] == path.stem
        assemblies[one["name"]] = one
    assert set(assemblies) == {"Shotstream.Core", "Shotstream.Runtime", "Shotstream.Editor", "Shotstream.Tests"}
    for one in assemblies.values():
        for reference in one["references"]:
            assert reference in assemblies or reference.startswith(("UnityEngine.", "UnityEditor.")), reference
    assert assemblies["Shotstream.Core"]["noEngineReferences"] and not assemblies["Shotstream.Core"]["references"]
    assert assemblies["Shotstream.Editor"]["includePlatforms"] == ["Editor"]


@needs_mcs
@pytest.mark.parametrize("defines", [(), ("UNITY_EDITOR",)], ids=["player", "editor"])
def test_scripts_compile_against_stubs(tmp_path, defines):
    uses = compile_scripts(tmp_path, defines)
    compile_csharp(tmp_path / "HelloFilm.dll", *sorted((PACKAGE / "Samples~/HelloFilm").glob("*.cs")), uses=uses)
    if defines:
        compile_csharp(tmp_path / "Shotstream.Editor.dll", *sorted((PACKAGE / "Editor").glob("*.cs")), uses=uses)
