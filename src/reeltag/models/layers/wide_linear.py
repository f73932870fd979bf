"""Wide rows, maybe float16, in; their product with a narrow matrix out, without a wide copy.

A batch of region features is far larger than what becomes of it: 64 posts x 12 frames x 64
regions x 2048 numbers go in, 32 numbers a region come out. Made at once, the float32 copy of
float16 rows costs more than the product; in blocks it stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

_BLOCK_BYTES = 4 << 20
_ROWS = 4096


class WideLinear(nn.Linear):
    """`torch.nn.Linear` for inputs that need no gradient: (..., in) any float, (..., out) out."""

    def forward(self, rows: Tensor) -> Tensor:
        return self.product(rows, self.weight) + self.bias

    @staticmethod
    def product(rows: Tensor, weight: Tensor) -> Tensor:
        """rows @ weightᵀ, with a gradient to `weight` alone."""
        flat = rows.reshape(-1, weight.shape[1])
        if rows.device.type == "cpu" and rows.dtype != weight.dtype:
            out: Tensor = _Blocked.apply(flat, weight)  # type: ignore[no-untyped-call]
        else:
            out = flat.to(weight.dtype) @ weight.T
        return out.view(*rows.shape[:-1], len(weight))


class _Blocked(torch.autograd.Function):
    """rows @ weightᵀ in blocks of rows; its gradient goes to the weight alone."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        out = weight.new_empty(len(rows), len(weight))
        for start, block in blocks_as(rows, weight.dtype):
            torch.mm(block, weight.T, out=out[start : start + len(block)])
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        rows, weight = ctx.saved_tensors
        (gradient,) = gradients
        total = torch.zeros_like(weight)
        for start, block in blocks_as(rows, weight.dtype):
            total.addmm_(gradient[start : start + len(block)].T, block)
        return None, total


class Rows(Protocol):
    """What can be read by stretches as a tensor (n, width) can."""

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice) -> Tensor: ...


def blocks_as(rows: Rows, kind: torch.dtype) -> Iterator[tuple[int, Tensor]]:
    """Walk rows (n, width) as `kind`: where each block starts, and the block.

    A block is overwritten by the next one.
    """
    if rows.dtype == kind:
        yield from ((start, rows[start : start + _ROWS]) for start in range(0, len(rows), _ROWS))
        return
    size = max(1, _BLOCK_BYTES // (4 * max(1, rows.shape[1])))
    buffer = torch.empty(min(size, len(rows)), rows.shape[1], dtype=kind, device=rows.device)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        block = buffer[: len(part)]
        block.copy_(part)
        yield start, block
