"""Features of one post in, bytes in the form of safetensors out, and back."""

from __future__ import annotations

import json

import numpy as np
from safetensors.numpy import load, save

from reeltag.serving.store.records import Values


def pack(values: Values | None) -> bytes | None:
    """Bytes of features; the names of missing modalities stand in the header."""
    if values is None:
        return None
    there = {name: np.asarray(value) for name, value in values.items() if value is not None}
    missing = [name for name, value in values.items() if value is None]
    return save(there, metadata={"missing": json.dumps(missing)})


def unpack(packed: bytes | None) -> Values | None:
    """Features from the bytes of `pack`."""
    if packed is None:
        return None
    # The header: its length in 8 bytes, least first, then JSON.
    header = json.loads(packed[8 : 8 + int.from_bytes(packed[:8], "little")])
    missing: list[str] = json.loads(header["__metadata__"]["missing"])
    return {**load(packed), **dict.fromkeys(missing)}
