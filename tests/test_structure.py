"""The source keeps its shape: imports go backwards along the road, modules are short."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "reeltag"
MODULES = sorted(SOURCE.rglob("*.py"))
NAMES = [str(path.relative_to(SOURCE)) for path in MODULES]

FOUNDATION = ("errors", "checksums", "storage", "progress", "runtime", "together")
ROAD = (
    "hashtags",
    "words",
    "data",
    "media",
    "features",
    "graph",
    "models",
    "training",
    "evaluation",
    "experiments",
    "recommend",
    "demo",
    "scale",
    "serving",
    "cli",
)
PLACE = dict.fromkeys(FOUNDATION, 0) | {room: place for place, room in enumerate(ROAD, 1)}
FACE = PLACE["recommend"]  # reeltag/__init__.py shows what the rooms up to here offer

LONGEST = 400
FOREIGN_PICKLES = SOURCE / "data" / "importers" / "restricted_npy.py"
UNSAFE_IMPORTS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal"}
LATE_LIBRARIES = (
    "av",
    "librosa",
    "onnxruntime",
    "sentence_transformers",
    "matplotlib",
    "lightgbm",
    "numba",
    "optuna",
    "ray",
    "fastapi",
    "sqlalchemy",
    "alembic",
)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def room_of(path: Path) -> str:
    """The room a file lies in; "" for the package's own `__init__`."""
    first = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    return {"__init__": "", "__main__": "cli"}.get(first, first)


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of every import of our own package; "" for names of the public face."""
    package = ["reeltag", *path.relative_to(SOURCE).parts[:-1]]
    for node in ast.walk(parse(path)):
        found: list[str] = []
        if isinstance(node, ast.Import):
            # `import reeltag` alone brings nothing; what is read off it does.
            found = [alias.name for alias in node.names if alias.name != "reeltag"]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "reeltag":
            found = [] if node.attr == "__version__" else [f"reeltag.{node.attr}"]
        elif isinstance(node, ast.ImportFrom):
            home = package[: len(package) - node.level + 1] if node.level else []
            home = [*home, *(node.module or "").split(".")] if node.module else home
            if home == ["reeltag"]:
                found = [f"reeltag.{a.name}" for a in node.names if a.name != "__version__"]
            else:
                found = [".".join(home)]
        for name in found:
            parts = name.split(".")
            if parts[0] == "reeltag":
                known = len(parts) > 1 and is_module(parts[1])
                yield node.lineno, parts[1] if known else ""


def is_module(name: str) -> bool:
    return name in PLACE or (SOURCE / name).is_dir() or (SOURCE / f"{name}.py").is_file()


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_imports_go_backwards_along_the_road(path: Path) -> None:
    room = room_of(path)
    assert room == "" or room in PLACE, f"{room} has no place on the road: add it to ROAD"
    here = PLACE.get(room, FACE)
    for line, other in imported_rooms(path):
        assert other == "" or other in PLACE, f"{path}:{line} imports {other}: add it to ROAD"
        there = PLACE.get(other, FACE)
        assert there <= here, f"{path}:{line}: {room or 'reeltag'} imports {other or 'reeltag'}"


def test_the_import_reader_sees_every_form() -> None:
    deep = SOURCE / "models" / "layers" / "imaginary.py"
    forms = {
        "import reeltag.cli": "cli",
        "from reeltag import training": "training",
        "from reeltag.training.loop import fit": "training",
        "from ...training import fit": "training",
        "from ..contract import Model": "models",
        "from reeltag import Recommender": "",
        "import reeltag\nreeltag.Recommender": "",
        "import reeltag\nreeltag.__version__": None,
    }
    for text, room in forms.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "read_text", lambda *_, text=text, **__: text)
            found = [found for _, found in imported_rooms(deep)]
        assert found == ([] if room is None else [room]), text


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_module_says_what_it_is_and_is_short(path: Path) -> None:
    assert ast.get_docstring(parse(path)), f"{path} has no docstring"
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{path} has {lines} lines, expected at most {LONGEST}: split it"


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_nothing_runs_code_from_a_file(path: Path) -> None:
    if path == FOREIGN_PICKLES:  # the one place that may, through an allow-list
        assert "find_class" in path.read_text(encoding="utf-8")
        return
    for node in ast.walk(parse(path)):
        place = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            roots = {alias.name.split(".")[0] for alias in node.names}
            assert not roots & UNSAFE_IMPORTS, place
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in UNSAFE_IMPORTS, place
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert called not in {"eval", "exec"}, f"{place}: {called}()"
            assert given.get("allow_pickle") != "True", f"{place}: allow_pickle=True"
            if called == "torch.load":
                assert given.get("weights_only") == "True", f"{place}: weights_only=True missing"


def test_importing_the_commands_imports_no_optional_library() -> None:
    name = "reeltag.cli" if importlib.util.find_spec("reeltag.cli") else "reeltag"
    code = f"import sys, {name}; print(*({set(LATE_LIBRARIES)!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], f"import {name} imports {done.stdout.strip()}"
