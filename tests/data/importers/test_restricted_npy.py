"""Foreign .npy files: honest ones are read, and no other gets to run a line of code."""

from __future__ import annotations

import builtins
import contextlib
import copyreg
import io
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reeltag.data.importers.restricted_npy import load_npy
from reeltag.errors import InputError, UnsafeFileError


def _object_file(path: Path, payload: bytes) -> Path:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|O", "fortran_order": False, "shape": (1,)}
    )
    path.write_bytes(header.getvalue() + payload)
    return path


def _objects(*items: Any) -> np.ndarray[Any, Any]:
    array = np.empty(len(items), dtype=object)
    for place, item in enumerate(items):
        array[place] = item
    return array


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "array",
    [
        _objects([1, 2], [3], []),
        _objects(((1, 2), 3), ((4, 5), 6)),
        _objects(np.arange(3), np.arange(2, dtype=np.int32)),
        _objects([np.int64(5), np.float32(0.5)], "text", 7),
        np.array([[1, [2]], [3, [4]]], dtype=object),
    ],
)
def test_honest_object_arrays(tmp_path: Path, array: np.ndarray[Any, Any], protocol: int) -> None:
    path = _object_file(tmp_path / "a.npy", pickle.dumps(array, protocol))
    assert _plain(load_npy(path)) == _plain(list(array.tolist()))


def test_what_numpy_saves_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", _objects([1], [2, 3]), allow_pickle=True)
    assert load_npy(tmp_path / "a.npy") == [[1], [2, 3]]
    np.save(tmp_path / "b.npy", np.arange(6).reshape(2, 3))
    assert isinstance(load_npy(tmp_path / "b.npy"), np.memmap)


class _Call:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


def _attacks(flag: Path) -> dict[str, bytes]:
    code = f"open({str(flag)!r}, 'w').close()"
    evil = _Call(os.system, f"touch '{flag}'")
    by_registry = b"\x80\x02ccopyreg\n_reconstructor\n(cposix\nsystem\nc__builtin__\nobject\nNtR."
    return {
        "system": pickle.dumps(evil),
        "eval": pickle.dumps(_Call(builtins.eval, code)),
        "exec": pickle.dumps(_Call(builtins.exec, code)),
        "popen": pickle.dumps(_Call(subprocess.Popen, ["touch", str(flag)])),
        "open": pickle.dumps(_Call(open, str(flag), "w")),
        "getattr": pickle.dumps(_Call(getattr, [], "append")),
        "numpy save": pickle.dumps(_Call(np.save, str(flag), [1])),
        "numpy fromfile": pickle.dumps(_Call(np.fromfile, "/etc/passwd")),
        "nested in an array": pickle.dumps(_objects([1, [evil]])),
        "nested in a tuple": pickle.dumps(((1, 2), evil)),
        "nested pickle": pickle.dumps(_Call(pickle.loads, pickle.dumps(evil))),
        "copyreg": pickle.dumps(_Call(copyreg.__newobj__, _Call)),  # type: ignore[attr-defined]
        "copyreg by hand": by_registry,
        "extension": b"\x80\x02\x82\x01.",
        "persistent id": b"\x80\x02X\x01\x00\x00\x00aQ.",
        "old instance": b"(S'touch " + str(flag).encode() + b"'\nios\nsystem\n.",
        "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile\x93.",
        "array called": pickle.dumps(_Call(np.ndarray, (10**12,))),
    }


@pytest.mark.parametrize("name", sorted(_attacks(Path("flag"))))
def test_no_attack_runs(tmp_path: Path, name: str) -> None:
    flag = tmp_path / "flag"
    path = _object_file(tmp_path / "a.npy", _attacks(flag)[name])
    with pytest.raises(UnsafeFileError, match=r"a\.npy"):
        load_npy(path)
    assert not flag.exists()
    assert not flag.with_suffix(".npy").exists()


def test_shared_nesting_and_absurd_sizes_are_refused(tmp_path: Path) -> None:
    bomb: list[Any] = [1]
    for _ in range(14):
        bomb = [bomb] * 10
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    for number, value in enumerate((bomb, deep)):
        path = _object_file(tmp_path / f"{number}.npy", pickle.dumps(value))
        with pytest.raises(UnsafeFileError):
            load_npy(path)
    for payload in (b"\x80\x04\x8e" + b"\xff" * 8, b"\x80\x04\x95" + b"\xff" * 8, b""):
        with pytest.raises(UnsafeFileError):
            load_npy(_object_file(tmp_path / "c.npy", payload))


def test_headers_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for content, message in [
        (b"", "no .npy"),
        (b"PK\x03\x04", "no .npy"),
        (b"\x93NUMPY\x01\x00\x10", "damaged"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "header"),
        (b"\x93NUMPY\x01\x00\x05\x00{[(((", "header"),
        (b"\x93NUMPY\x01\x00\x0d\x00{'descr': 1} ", "holds 1"),
    ]:
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            load_npy(path)
    np.save(path, np.zeros(3, dtype=[("a", "O")]), allow_pickle=True)
    with pytest.raises(InputError, match="holds"):
        load_npy(path)
    np.save(path, np.arange(100))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="damaged"):
        load_npy(path)


@given(st.binary(max_size=60))
@settings(max_examples=200)
def test_any_bytes_give_a_value_or_our_error(tmp_path_factory: Any, payload: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a.npy"
    with contextlib.suppress(InputError):
        load_npy(_object_file(path, b"\x80\x04" + payload + b"."))
