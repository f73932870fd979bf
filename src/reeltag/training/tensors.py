"""Named tensors in, the pieces of a safetensors file out, without a copy of them.

`safetensors.torch.save` makes the same bytes, by way of two copies of all tensors.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

import torch
from torch import Tensor

_KINDS = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Names of the format, in the order in which the library stores them."""


def tensor_file(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> list[bytes | memoryview]:
    """The file's header, then each tensor's bytes: views of those that lie contiguous on the CPU.

    They are to be written before a tensor changes. Raises `ValueError` for a kind of number that
    no model stores.
    """
    unknown = {tensor.dtype for tensor in tensors.values()} - set(_KINDS)
    if unknown:
        raise ValueError(f"Got tensors of {unknown}, expected some of {', '.join(_KINDS.values())}")
    kinds = list(_KINDS)
    ordered = sorted(tensors.items(), key=lambda named: (kinds.index(named[1].dtype), named[0]))
    header: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    pieces, start = [], 0
    for name, tensor in ordered:
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        piece = flat.view(torch.uint8).numpy().data
        header[name] = {
            "dtype": _KINDS[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, start + len(piece)],
        }
        start += len(piece)
        pieces.append(piece)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return [struct.pack("<Q", len(text)) + text, *pieces]
