"""Writes are whole or absent, whatever goes wrong in between."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from reeltag.errors import InputError
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
