"""The set-up: commands people and CI type exist, and the package's papers agree with each other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import reeltag

ROOT = Path(__file__).parents[1]
TARGETS = ("help", "install", "demo", "test", "test-long", "bench", "lint", "clean")


def code_lines(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("target", TARGETS)
def test_makefile_has_the_target(target: str) -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", text, re.MULTILINE)
    assert re.search(rf"^\.PHONY:.*\b{target}\b", text, re.MULTILINE)


def planned(target: str) -> list[str]:
    """The commands that `make` would run."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    # This test may itself run under make, which tells its children so.
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={key: value for key, value in clean.items() if key != "MFLAGS"},
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("target", ["demo", "test", "test-long", "bench", "lint"])
def test_every_job_sets_itself_up(target: str) -> None:
    assert "scripts/setup.sh" in planned(target)[0]


def test_the_demo_leaves_a_run_to_serve() -> None:
    commands = planned("demo")
    assert any("build/demo/runs/reeltag runs/demo" in command for command in commands)
    assert "reeltag serve runs/demo" in commands[-1]


def test_ci_calls_exactly_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = code_lines(script)
    assert lines[0] == "set -euo pipefail"
    assert [line for line in lines[1:] if not line.startswith("cd ")] == ["make test"]


def test_setup_script_is_sound_bash() -> None:
    script = ROOT / "scripts" / "setup.sh"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_setup_names_a_python_that_is_too_old_or_absent(tmp_path: Path) -> None:
    copy = tmp_path / "scripts" / "setup.sh"
    copy.parent.mkdir()
    shutil.copy2(ROOT / "scripts" / "setup.sh", copy)
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    old = tmp_path / "python2"
    old.write_text("#!/bin/sh\n[ $1 = --version ] && echo Python 2.7.18 && exit 0\nexit 1\n")
    old.chmod(0o755)
    for name, message in ((str(old), "expected Python 3.11"), ("python0", "not on this machine")):
        done = subprocess.run(
            [str(copy)], env={**os.environ, "PYTHON": name}, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / ".venv").exists()


def test_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == reeltag.__version__


def test_licence_is_apache() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
