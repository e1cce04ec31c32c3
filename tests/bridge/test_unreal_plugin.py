"""The Unreal plugin: its description is well formed, and its sources compile, as far as stubs of Unreal can tell."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.bridge.csharp import ROOT, compile_csharp, needs_mcs

PLUGIN = ROOT / "engine_bridge/unreal/ShotStream"
RUNTIME = PLUGIN / "Source/ShotStreamRuntime"
STUBS = Path(__file__).parent / "unreal_stubs"
CXX = shutil.which(os.environ.get("CXX", "c++"))


def test_the_description_names_modules_that_are_there():
    plugin = json.loads((PLUGIN / "ShotStream.uplugin").read_text())
    assert plugin["FileVersion"] == 3 and plugin["IsExperimentalVersion"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", plugin["VersionName"])
    assert [module["Name"] for module in plugin["Modules"]] == ["ShotStreamRuntime"]
    for module in plugin["Modules"]:
        rules = (PLUGIN / "Source" / module["Name"] / f"{module['Name']}.Build.cs").read_text()
        assert f"public class {module['Name']} : ModuleRules" in rules
        assert module["Type"] == "Runtime" and module["LoadingPhase"] == "Default"


def test_every_reflected_header_ends_its_includes_with_the_generated_one():
    for header in RUNTIME.rglob("*.h"):
        includes = re.findall(r'#include "(.+)"', header.read_text())
        if re.search(r"^U(CLASS|STRUCT|ENUM)\(", header.read_text(), re.M):
            assert includes[-1] == f"{header.stem}.generated.h"
        else:
            assert not any(one.endswith(".generated.h") for one in includes)


def write_generated(header, folder):
    """What the header tool would make of a header with at most one class: here only ``Super``."""
    text = header.read_text()
    classes = re.findall(r"^class SHOTSTREAMRUNTIME_API \w+ : public (\w+)", text, re.M)
    assert len(classes) <= 1 and text.count("GENERATED_BODY()") >= len(classes)
    body = f"#undef GENERATED_BODY\n#define GENERATED_BODY() typedef {classes[0]} Super;\n" if classes else ""
    (folder / f"{header.stem}.generated.h").write_text(body)


@pytest.mark.skipif(CXX is None, reason="no C++ compiler; install g++ or set CXX")
@pytest.mark.parametrize("source", sorted(RUNTIME.rglob("*.cpp")), ids=lambda path: path.name)
def test_sources_compile_against_stubs(source, tmp_path):
    for header in (RUNTIME / "Public").glob("*.h"):
        write_generated(header, tmp_path)
    folders = [tmp_path, STUBS, RUNTIME / "Public", RUNTIME / "Private", ROOT / "engine_bridge/include"]
    command = [CXX, "-std=c++17", "-fsyntax-only", "-Wall", "-Wshadow", "-Werror", "-Wno-unused-parameter"]
    done = subprocess.run(
        [*command, *(f"-I{one}" for one in folders), source], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


@needs_mcs
def test_build_rules_compile_against_stubs(tmp_path):
    compile_csharp(tmp_path / "Rules.dll", STUBS / "UnrealBuildTool.cs", *sorted(PLUGIN.rglob("*.Build.cs")))
