"""The addon's files as text. Godot 4 is not run anywhere: its scripts are parsed, the core keeps to names that both
versions of Godot have, and the GDExtension is compiled against stubs of godot-cpp."""

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADDON = ROOT / "engine_bridge/godot/addons/shotstream"
EXTENSION = ROOT / "engine_bridge/godot/gdextension"
CXX = shutil.which(os.environ.get("CXX", "c++"))
CORE = [*sorted((ADDON / "core").glob("*.gd")), ADDON / "protocol.gd"]
GODOT_4 = [*CORE, *sorted((ADDON / "godot4").glob("*.gd")), ADDON / "plugin.gd"]

ONLY_GODOT_3 = "|".join(
    [r"\bPool\w+Array\b", r"\byield\b", r"\.empty\(", r"\bFile\b", r"JSON\.(parse|print)\(", r"OS\.get_ticks",
     "TYPE_REAL", r"\.to_utf8\(", r"\bsetget\b", "^export"]
)  # fmt: skip
ONLY_GODOT_4 = "|".join(
    [r"\bPacked\w+Array\b", r"\bawait\b", r"\.is_empty\(", r"\bFileAccess\b", r"\bTime\.", r"\bJSON\b", "TYPE_FLOAT",
     r"_buffer\(", r"\bsuper\b", "^@", r"\bCallable\b"]
)  # fmt: skip


def code_of(path):
    """Without comments and texts."""
    return re.sub(r'"(\\.|[^"\\])*"|#.*', "", path.read_text())


@pytest.mark.parametrize("path", GODOT_4, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_scripts_are_godot_4(path):
    parsing = pytest.importorskip(
        "gdtoolkit.parser", reason="gdtoolkit (pip) is not installed, so nothing parses the scripts for Godot 4"
    )
    parsing.parser.parse(path.read_text())
    assert not re.findall(ONLY_GODOT_3, code_of(path), re.MULTILINE)


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_the_core_is_both(path):
    assert not re.findall(ONLY_GODOT_4, code_of(path), re.MULTILINE)


@pytest.mark.parametrize("name", ["platform.gd", "shotstream_client.gd"])
def test_both_versions_offer_the_same(name):
    def offers(version):
        return re.findall(r"^(?:func|signal) \w+.*", (ADDON / version / name).read_text(), re.MULTILINE)

    assert offers("godot3") == offers("godot4") != []


def test_the_plugin_names_files_that_exist():
    plugin = configparser.ConfigParser()
    plugin.read(ADDON / "plugin.cfg")
    assert (ADDON / plugin["plugin"]["script"].strip('"')).exists()
    for path in [*CORE, *ADDON.rglob("*.gd")]:
        for other in re.findall(r'(?:preload|@icon)\("([^"]+)"\)', path.read_text()):
            assert (path.parent / other).resolve().exists(), (path.name, other)


@pytest.mark.skipif(CXX is None, reason="no C++ compiler, so nothing reads the GDExtension")
@pytest.mark.parametrize("name", ["shotstream_native.cpp", "register.cpp"])
def test_the_extension_is_cpp_over_the_c_interface(name):
    folders = [f"-I{Path(__file__).parent / 'godot_cpp_stubs'}", f"-I{ROOT / 'engine_bridge/include'}"]
    command = [CXX, "-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", *folders, EXTENSION / name]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_extension_has_the_signals_and_methods_of_the_node():
    node = (ADDON / "godot4/shotstream_client.gd").read_text()
    native = (EXTENSION / "shotstream_native.cpp").read_text()
    signals = {name: arguments.count(",") + bool(arguments)
               for name, arguments in re.findall(r"^signal (\w+)\((.*)\)", node, re.MULTILINE)}  # fmt: skip
    bound = dict(re.findall(r'MethodInfo\("(\w+)"(.*)\)\);', native))
    assert {name: len(re.findall(r", (?:PropertyInfo\([^)]*\)|\w+)", rest)) for name, rest in bound.items()} == signals
    methods = set(re.findall(r"^func ([a-z]\w*)", node, re.MULTILINE)) - {"is_up", "request"}
    assert methods <= set(re.findall(r'D_METHOD\("(\w+)"', native))
    entry = re.search(r'entry_symbol = "(\w+)"', (EXTENSION / "shotstream.gdextension").read_text())
    assert entry and entry[1] in (EXTENSION / "register.cpp").read_text()
