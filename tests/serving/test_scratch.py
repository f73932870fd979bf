"""The folder of uploads is private, has no name that can be foreseen, and is swept."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from reeltag.serving.scratch import PREFIX, Scratch
from reeltag.serving.uploads import Uploads


@pytest.fixture(autouse=True)
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder of temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folder_is_private_and_goes(there: Path) -> None:
    first, second = Uploads(None, 1, 1), Uploads(None, 1, 1)
    assert first.folder != second.folder
    for made in (first, second):
        assert made.folder.parent == there
        assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700
        made.close()
        assert not made.folder.exists()


def test_what_a_killed_one_left_is_swept_and_nothing_else(there: Path) -> None:
    code = (
        "import tempfile, time\n"
        f"tempfile.tempdir = {str(there)!r}\n"
        "from reeltag.serving.scratch import Scratch\n"
        "(Scratch().path / 'clip').write_bytes(b'x')\n"
        "print('made', flush=True)\n"
        "time.sleep(60)\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"made\n"
    (left,) = there.iterdir()
    outside = there / "outside"
    outside.mkdir()
    (there / f"{PREFIX}link").symlink_to(outside)
    (there / f"{PREFIX}file").touch()
    alive = Scratch()
    assert left.exists()  # whoever lives keeps theirs
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    made = Scratch()
    assert not left.exists()
    for kept in (alive.path, made.path, outside, there / f"{PREFIX}link", there / f"{PREFIX}file"):
        assert kept.exists()
    alive.close()
    made.close()
