"""The arrows between the parts, read from the source, and what an import costs."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1] / "sdk" / "shotstream"

LIGHT = {"errors", "frames"}
MAY_IMPORT = {
    "errors": set(),
    "frames": {"errors"},
    "disk": LIGHT,
    "story": LIGHT,
    "receipts": LIGHT,
    "ops": {"_native", "errors"},
    "model": {"ops"} | LIGHT,
    "bundle": {"model"} | LIGHT,
    "engine": {"bundle", "export", "model", "ops"} | LIGHT,
    "stats": set(),
    "shelf": {"story", "engine"},
    "frame_queue": {"engine"} | LIGHT,
    "session": {"frame_queue", "shelf", "story", "receipts", "stats", "engine"} | LIGHT,
    "testing": {"engine"} | LIGHT,
    "film": {"session", "stats", "story", "receipts", "engine", "bundle", "testing"} | LIGHT,
    "recording": {"film", ""} | LIGHT,
    "play": {"film"} | LIGHT,
    "watch": {"bridge", "play"} | LIGHT,
    "doctor": {"film", "bundle", "engine", "_native"} | LIGHT,
    "convert": {"bundle", "disk", "model", "engine"} | LIGHT,
    "fetch": {"bundle", "convert", "disk", "model"} | LIGHT,
    "export": {"_native", "bundle", "disk", "model", "ops", ""} | LIGHT,
    "bundles": set(),
    "bridge": {"film", "story", "receipts", "testing", "_native"} | LIGHT,
    "": {"film", "bridge", "story", "receipts", "engine"} | LIGHT,
    "__main__": {"cli"},
    "cli": {"film", "bridge", "story", "receipts", "recording", "play", "watch", "doctor", "bundle", "convert", "fetch"}
    | {"session", "testing", "engine", "export", "model", ""}
    | LIGHT,
}
"""Part of the package ("" is its ``__init__``) to the parts that it may name, at any depth of a function."""

WITHOUT_TORCH = {
    "",
    "__main__",
    "errors",
    "frames",
    "story",
    "receipts",
    "stats",
    "session",
    "shelf",
    "frame_queue",
    "film",
    "testing",
    "recording",
}
WITHOUT_TORCH |= {"bridge", "play", "watch", "doctor", "cli", "bundle"}


def part_of(path):
    first = path.relative_to(ROOT).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imported(path):
    """(line, dotted module) of every import, relative ones resolved to ``shotstream...``."""
    package = ("shotstream", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def parts_named(module):
    """The part of our package that a dotted module lies in, or None."""
    names = module.split(".")
    if names[0] != "shotstream":
        return None
    known = len(names) > 1 and (
        (ROOT / names[1]).is_dir() or (ROOT / f"{names[1]}.py").is_file() or names[1] == "_native"
    )
    return names[1] if known else ""


SOURCES = sorted(ROOT.rglob("*.py"))


def test_arrows_point_one_way():
    wrong = []
    for path in SOURCES:
        part = part_of(path)
        assert part in MAY_IMPORT, f"{path}: a new part of the package; say in MAY_IMPORT what it may import"
        for line, module in imported(path):
            target = parts_named(module)
            if target is not None and target != part and target not in MAY_IMPORT[part]:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {part or 'package'} -> {target or 'package'}")
    assert not wrong, wrong


def test_the_sdk_does_not_import_training():
    wrong = [
        f"{path}:{line}" for path in SOURCES for line, module in imported(path) if module.split(".")[0] == "training"
    ]
    assert not wrong


def test_light_parts_import_torch_on_use_only():
    light = [path for path in SOURCES if part_of(path) in WITHOUT_TORCH or path.name == "protocol.py"]
    wrong = []
    for path in light:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            wrong += [f"{path.name}: {name}" for name in names if name.split(".")[0] == "torch"]
    assert len(light) > 20 and not wrong


def test_imports_are_read_as_python_reads_them():
    names = {module for _, module in imported(ROOT / "model" / "config.py")}
    assert "shotstream.errors.ConfigError" in names
    assert "shotstream.bundle.load_bundle" in {module for _, module in imported(ROOT / "film.py")}, (
        "inside functions too"
    )
    assert [parts_named(name) for name in ("shotstream.film.Film", "shotstream.open", "torch.nn")] == ["film", "", None]


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys, time; began = time.process_time(); import shotstream; took = time.process_time() - began; "
        "heavy = {'torch', 'numpy', 'av', 'transformers', 'typer', 'rich', 'yaml', 'PIL', 'msgspec'} & "
        "set(sys.modules); "
        "print(took, *heavy)"
    )
    results = [run(code).split() for _ in range(3)]
    assert results[0][1:] == []
    assert min(float(result[0]) for result in results) < 0.3


def test_command_line_help_loads_no_torch():
    code = (
        "import sys; sys.argv = ['shotstream', '--help']\n"
        "from shotstream.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    assert run(code).endswith("False")
