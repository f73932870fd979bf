"""A stranger's `.npy` file in; numbers and nested lists out, and none of its code run.

Plain arrays are memory-mapped by NumPy without pickles. Ragged ones are pickles, which may name
any function to call. Here a pickle may name a handful of things, NumPy's array machinery, and each
is answered by a stand-in written below: nothing of NumPy is called with the pickle's arguments.
Whatever else it names is refused before it is looked up.
"""

from __future__ import annotations

import ast
import io
import math
import pickle
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reeltag.errors import InputError, UnsafeFileError

HEADER_LIMIT = 10_000
"""Bytes of the text that describes shape and dtype."""
_MAGIC = b"\x93NUMPY"
_KINDS = re.compile(r"[<>|=]?(?:[biuf][1248]|[?]|[SU]\d{1,4}|O8?)")
_DEPTH_LIMIT = 16


def load_npy(path: Path) -> Any:
    """A memory-mapped array of numbers, or, from a pickled array, nested lists and arrays.

    Raises:
        UnsafeFileError: the pickle names something that is no array, number, text or list.
        InputError: the file is no `.npy` file or is damaged.
    """
    with path.open("rb") as stream:
        pickled = _header(path, stream)
        if pickled:
            return _unpickle(path, stream.read())
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False, max_header_size=HEADER_LIMIT)
    except (ValueError, OSError, EOFError) as fault:
        raise InputError(f"{path} is damaged: {fault}. Fetch it again.") from fault


def _header(path: Path, stream: io.BufferedReader) -> bool:
    """Read the header; whether the array behind it is a pickle."""
    start = stream.read(len(_MAGIC) + 2)
    if not start.startswith(_MAGIC) or len(start) < len(_MAGIC) + 2:
        raise InputError(f"{path} is no .npy file: it does not start as one.")
    form = "<H" if start[-2] == 1 else "<I"
    size = stream.read(struct.calcsize(form))
    if len(size) != struct.calcsize(form):
        raise InputError(f"{path} is damaged: it ends within its header. Fetch it again.")
    (length,) = struct.unpack(form, size)
    if length > HEADER_LIMIT:
        raise UnsafeFileError(
            f"{path} has a header of {length:,} bytes, expected at most {HEADER_LIMIT:,}. It is "
            "damaged or made to do harm; fetch it from its authors."
        )
    try:
        header = ast.literal_eval(stream.read(length).decode("latin-1").strip())
        descr = header["descr"]
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError) as fault:
        raise InputError(f"{path} is damaged: its header is unreadable. Fetch it again.") from fault
    if isinstance(descr, str) and _KINDS.fullmatch(descr):
        return "O" in descr
    raise InputError(f"{path} holds {descr!r}, expected numbers or lists of numbers.")


def _unpickle(path: Path, content: bytes) -> Any:
    try:
        value = _Unpickler(path, io.BytesIO(content)).load()
        built = _Builder(len(content)).build(value, 0)
        if not isinstance(built, list | np.ndarray):
            raise ValueError(f"it holds a {type(built).__name__}")
        return built
    except InputError:
        raise
    except (Exception, MemoryError) as fault:
        reason = f"{type(fault).__name__}: {fault}"
        raise UnsafeFileError(
            f"{path} is no pickled array of numbers and lists ({reason}). It is damaged or made "
            "to do harm; nothing of it was run."
        ) from fault


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows stand-ins only."""

    def __init__(self, path: Path, stream: io.BytesIO) -> None:
        super().__init__(stream, fix_imports=False, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str, /) -> Any:
        """The stand-in for a name of NumPy's; `UnsafeFileError` for all others."""
        if name in _STAND_INS.get(module, ()):
            return _StandIn(name)
        raise UnsafeFileError(
            f"{self._path} would run {module}.{name} if it were trusted. Expected a pickled array "
            "of numbers and lists; nothing of it was run. Do not use this file."
        )

    def persistent_load(self, pid: Any, /) -> Any:
        """Refuse references to things outside of the file."""
        raise UnsafeFileError(f"{self._path} refers to things outside of it. Do not use this file.")


_STAND_INS = {
    "numpy": ("ndarray", "dtype"),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy.core.numeric": ("_frombuffer",),
    "numpy._core.numeric": ("_frombuffer",),
    "_codecs": ("encode",),
}


class _StandIn:
    """What a pickle gets for one of NumPy's names: calling it only notes the arguments."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *arguments: Any) -> _Noted:
        if self._name == "ndarray":
            raise TypeError("an array is not called directly")
        return _Noted(self._name, arguments)

    def __setstate__(self, state: Any) -> None:
        raise TypeError("a name of NumPy's is not changed")


class _Noted:
    """A call or object of a pickle, noted and not carried out."""

    __slots__ = ("arguments", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name, self.arguments, self.state = name, arguments, None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Builder:
    """Turns noted objects into arrays and lists, with a budget against shared nesting."""

    def __init__(self, size: int) -> None:
        self._budget = 64 + 8 * size

    def build(self, value: Any, depth: int) -> Any:
        """The value with every noted array built."""
        self._budget -= 1
        if depth > _DEPTH_LIMIT or self._budget < 0:
            raise ValueError("it nests too deeply")
        if isinstance(value, _Noted):
            return self._array(value, depth)
        if isinstance(value, list | tuple):
            return [self.build(item, depth + 1) for item in value]
        if isinstance(value, int | float | str):
            return value
        raise ValueError(f"it holds a {type(value).__name__}")

    def _array(self, noted: _Noted, depth: int) -> Any:
        if noted.name == "scalar":
            kind, content = noted.arguments
            return self._numbers(_dtype(kind), content, ()).item()
        if noted.name == "_frombuffer":
            content, kind, shape, order = noted.arguments
            return self._numbers(_dtype(kind), content, shape, order == "F")
        if noted.name != "_reconstruct" or not isinstance(noted.state, tuple):
            raise ValueError("it holds an array without content")
        shape, kind, fortran, content = noted.state[-4:]
        dtype = _dtype(kind)
        if dtype.hasobject:
            if not isinstance(content, list) or len(content) != _count(shape):
                raise ValueError("an array's shape and content differ")
            items = [self.build(item, depth + 1) for item in content]
            return _nest(items, shape)
        return self._numbers(dtype, content, shape, bool(fortran))

    def _numbers(
        self, dtype: np.dtype[Any], content: Any, shape: Any, fortran: bool = False
    ) -> NDArray[Any]:
        if isinstance(content, _Noted) and content.name == "encode":
            content = content.arguments[0]  # how protocol 2 writes bytes
        content = content.encode("latin1") if isinstance(content, str) else content
        if dtype.hasobject or not isinstance(content, bytes | bytearray):
            raise ValueError("an array of numbers holds something else")
        if len(content) != _count(shape) * dtype.itemsize:
            raise ValueError("an array's shape and content differ")
        flat = np.frombuffer(bytes(content), dtype=dtype)
        return flat.reshape(shape, order="F" if fortran else "C")


def _dtype(noted: Any) -> np.dtype[Any]:
    if not isinstance(noted, _Noted) or noted.name != "dtype" or not noted.arguments:
        raise ValueError("an array without a dtype")
    name = noted.arguments[0]
    if not isinstance(name, str) or not _KINDS.fullmatch(name):
        raise ValueError(f"an array of kind {name!r}")
    order = noted.state[1] if isinstance(noted.state, tuple) and len(noted.state) > 1 else "|"
    dtype = np.dtype(name)
    return dtype.newbyteorder(">") if order == ">" else dtype


def _count(shape: Any) -> int:
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("an array of no possible shape")
    return math.prod(shape)


def _nest(items: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Items in C order as lists within lists; an array of one object is a list of it."""
    for length in reversed(shape[1:]):
        items = [items[i : i + length] for i in range(0, len(items), length)] if length else []
    return items
