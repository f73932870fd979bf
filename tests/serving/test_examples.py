"""The examples of docs/service.md, as a shell runs them; and the command itself."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.media.clips import write_clip
from tests.serving.process import ROOT, ended, started
from tests.serving.served import small_run

BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "docs/service.md").read_text(), re.DOTALL)
EXAMPLES = [block for block in BLOCKS if "curl" in block]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with small_run(tmp_path_factory.mktemp("filmed")) as made:
        yield made


def test_every_example_is_answered(run: Path, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", frames=25, noise=1)
    assert len(EXAMPLES) == 7
    process, address = started(run)
    try:
        about = {**os.environ, "ADDRESS": address, "RUN": str(run)}
        for example in EXAMPLES:
            script = "set -euo pipefail\n" + example.replace("curl -s", "curl --fail-with-body -s")
            done = subprocess.run(
                ["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, env=about
            )
            assert done.returncode == 0, f"{example}\n{done.stdout}{done.stderr}"
            assert done.stdout
            assert '"error"' not in done.stdout
    finally:
        process.send_signal(signal.SIGTERM)
        assert ended(process) == 0


def test_what_is_published_is_known_after_a_restart(run: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    for n in range(2):
        process, address = started(run, "--store", url)
        try:
            told = httpx.post(f"{address}/v1/recommend", json={"user": "late"}).json()
            assert told["known_user"] is (n == 1)
            post = {"user": "late", "hashtags": ["comet"], "post": f"p{n}"}
            assert httpx.post(f"{address}/v1/posts", json=post).status_code == 201
        finally:
            process.send_signal(signal.SIGKILL if n == 0 else signal.SIGINT)
            assert ended(process) == (-signal.SIGKILL if n == 0 else 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "reeltag keys create"),
        (["--keys"], "reeltag keys create"),
        (["--body-mb", "0"], "--body-mb"),
        (["--store", "mysql://x"], "mysql"),
        (["--host", "192.0.2.1"], "192.0.2.1"),
    ],
)
def test_what_cannot_be_served_is_told(
    run: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    if "--store" not in arguments:
        arguments = [*arguments, "--store", f"sqlite:///{tmp_path}/store.sqlite"]
    if "192.0.2.1" in arguments:  # an address of documentation: with a key it goes on to bind
        make = ["keys", "create", "--store", arguments[-1], "--json"]
        made = subprocess.run(
            [sys.executable, "-m", "reeltag", *make], capture_output=True, text=True, cwd=ROOT
        )
        assert json.loads(made.stdout)["key"].startswith("rt_")
    done = subprocess.run(
        [sys.executable, "-m", "reeltag", "serve", run, "--port", "0", *arguments],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2
    assert words in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_a_run_that_is_absent_is_told(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    for given in ([], ["--store", url]):
        done = subprocess.run(
            [sys.executable, "-m", "reeltag", "serve", tmp_path / "no", "--port", "0", *given],
            capture_output=True, text=True, cwd=ROOT, timeout=60,
        )  # fmt: skip
        assert done.returncode == 2
        assert "is no ReelTag run" in done.stderr.replace("\n", " ")
