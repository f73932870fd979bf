"""One process's share of a step's examples in, what the whole step would compute out.

Processes that train together split each batch: every one has some of its posts, with their
examples, and multiplies its loss by its `Share.weight`; the sum of their gradients must be that
of the whole batch. It is, for a loss that is a mean over examples. The functions here are for
what is not: means over other things, losses about pairs of posts, random draws. All processes
call them alike. In a process that has the whole batch they do nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from reeltag.together import add_up, gathered, number, numbers


@dataclass(frozen=True)
class Share:
    """weight: this process's part of the step's examples; examples: of the whole step."""

    weight: float
    examples: int


_current: Share | None = None


@contextmanager
def sharing(share: Share | None) -> Iterator[None]:
    """While the block runs, what is computed is of this share of a step; None: of all of it."""
    global _current
    before, _current = _current, share
    try:
        yield
    finally:
        _current = before


def shared() -> bool:
    """Whether what is computed is of a share."""
    return _current is not None


def examples_of_step(own: int) -> int:
    """Examples of the whole step, of which this process has `own`."""
    return own if _current is None else _current.examples


def mean(total: Tensor, count: Tensor) -> Tensor:
    """total / count of the whole step, from sums over this share of it; 0 where count is 0."""
    if _current is not None:
        count = count.detach().clone()
        add_up([count])
        count = count * _current.weight
    return total / torch.where(count > 0, count, torch.ones_like(count))


def everyones(rows: Tensor) -> Tensor:
    """The rows (n, ...) of the whole step, with gradients to one's own."""
    if _current is None:
        return rows
    if not rows.requires_grad:
        return torch.cat(gathered(rows))
    joined: Tensor = _Everyones.apply(rows, _current.weight)  # type: ignore[no-untyped-call]
    return joined


def everyones_nodes(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Ids (k,) of the whole step, part after part, and where one's own lie among them (n,)."""
    found, own, start = [], [], 0
    for part in parts:
        each = gathered(part)
        before = sum(len(other) for other in each[: number()])
        own.append(start + before + torch.arange(len(part), device=part.device))
        start += sum(len(other) for other in each)
        found += each
    return torch.cat(found), torch.cat(own)


def drawn(shape: Sequence[int], like: Tensor) -> Tensor:
    """Uniform numbers of a shape (n, ...), those that the whole step would draw for these rows."""
    if _current is None:
        return torch.rand(*shape, dtype=like.dtype, device=like.device)
    whole, own = _whole(shape)
    return torch.rand(*whole, dtype=like.dtype, device=like.device)[own]


def dropout(values: Tensor, share: float, training: bool) -> Tensor:
    """Values (n, ...) without a random `share` of them, that which the whole step would drop."""
    if _current is None or not training or not share:
        return functional.dropout(values, share, training)
    whole, own = _whole(values.shape)
    return values * functional.dropout(values.new_ones(whole), share)[own]


class Dropout(torch.nn.Dropout):
    """`dropout` as a layer."""

    def forward(self, values: Tensor) -> Tensor:
        return dropout(values, self.p, self.training)


def _whole(shape: Sequence[int]) -> tuple[list[int], tuple[slice, ...]]:
    """The whole step's shape, where each process has rows of `shape`, and where these lie."""
    each = numbers(list(shape))
    whole = [sum(other[0] for other in each), *map(max, list(zip(*each, strict=True))[1:])]
    start = sum(other[0] for other in each[: number()])
    return whole, (slice(start, start + shape[0]), *(slice(size) for size in shape[1:]))


class _Everyones(torch.autograd.Function):
    """Every process works the same loss out of all rows, so each knows the gradient of its own."""

    @staticmethod
    def forward(context: Any, rows: Tensor, weight: float) -> Tensor:
        each = gathered(rows)
        context.start = sum(len(other) for other in each[: number()])
        context.length, context.weight = len(rows), weight
        return torch.cat(each)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        own = gradient[context.start : context.start + context.length]
        return own / context.weight, None
