"""Writes are whole or absent, whatever goes wrong in between."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reeltag import storage
from reeltag.errors import InputError, WriteError
from reeltag.storage import atomic_file, atomic_folder, read_toml, write_bytes, write_toml


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "x"
    write_bytes(target, b"old")

    def interrupted() -> None:
        with atomic_file(target) as stream:
            stream.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    target = tmp_path / "x"
    write_bytes(target, b"old")

    def fail(_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=os.strerror(code)):
        write_bytes(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with atomic_folder(tmp_path / "d") as folder:
            (folder / "a").write_text("half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_a_folder_is_replaced_only_when_asked(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with atomic_folder(tmp_path / "d", replace=True) as folder:
            (folder / content).touch()
    assert [p.name for p in (tmp_path / "d").iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["d"]
    with pytest.raises(InputError, match="exists already"), atomic_folder(tmp_path / "d"):
        pass


def test_toml_leaves_out_none_and_names_faults(tmp_path: Path) -> None:
    write_toml(tmp_path / "a.toml", {"x": 1, "y": None, "z": {"w": None, "v": [1, 2]}})
    assert read_toml(tmp_path / "a.toml") == {"x": 1, "z": {"v": [1, 2]}}
    (tmp_path / "b.toml").write_text("x = = 1")
    with pytest.raises(InputError, match=r"b\.toml is not valid TOML"):
        read_toml(tmp_path / "b.toml")


def test_what_a_killed_process_left_is_swept_and_what_lives_is_not(tmp_path: Path) -> None:
    (tmp_path / ".x.abcdefgh.reeltag-tmp").write_bytes(b"half a file")
    (tmp_path / ".d.abcdefgh.reeltag-tmp").mkdir()
    (tmp_path / ".d.abcdefgh.reeltag-tmp" / "part").write_bytes(b"half a folder")
    (tmp_path / ".somebody-elses.tmp").write_bytes(b"theirs")
    with atomic_folder(tmp_path / "living") as living:
        write_bytes(tmp_path / "x", b"whole")
        assert {p.name for p in tmp_path.iterdir()} == {".somebody-elses.tmp", "x", living.name}
        code = "from pathlib import Path; from reeltag.storage import write_bytes"
        code += f"; write_bytes(Path({str(tmp_path)!r}) / 'y', b'')"
        subprocess.run([sys.executable, "-c", code], check=True)
        assert living.is_dir()
    assert (tmp_path / "living").is_dir()


def test_a_folder_is_replaced_in_one_step(tmp_path: Path) -> None:
    """At every moment there is one of that name, also where the disk refuses in the end."""
    with atomic_folder(tmp_path / "d") as folder:
        (folder / "old").touch()

    def refused(folder: Path) -> None:
        if folder == tmp_path:
            assert (tmp_path / "d").is_dir()
            raise OSError(errno.EIO, "Input/output error")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "fsync_folder", refused)
        with pytest.raises(WriteError), atomic_folder(tmp_path / "d", replace=True) as folder:
            (folder / "new").touch()
    assert [p.name for p in tmp_path.rglob("*")] == ["d", "old"]


def test_folders_change_names_where_the_system_has_no_call_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage.ctypes, "CDLL", lambda *_, **__: object())
    test_a_folder_is_replaced_only_when_asked(tmp_path)


def test_refused_writes_name_the_file_under_its_last_name(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "no-folder").touch()
    with pytest.raises(WriteError, match=r"no-folder.*could not be written: .*command again"):
        write_bytes(tmp_path / "d" / "no-folder" / "x", b"")

    def refuse() -> None:
        with atomic_folder(tmp_path / "new") as folder:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder / "a" / "b"))

    with pytest.raises(WriteError) as caught:
        refuse()
    assert caught.value.file == tmp_path / "new" / "a" / "b"
    assert caught.value.errno == errno.ENOSPC
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_a_file_that_is_read_is_not_blamed_on_the_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "copy"):
        (tmp_path / "absent").read_bytes()


def test_every_name_is_on_the_disk_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New folders, too, are flushed into the folder that holds them."""
    flushed: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (flushed.append(os.fstat(fd).st_ino), fsync(fd)))
    write_bytes(tmp_path / "a" / "b" / "file", b"x")
    for path in ("", "a", "a/b", "a/b/file"):
        assert (tmp_path / path).stat().st_ino in flushed
