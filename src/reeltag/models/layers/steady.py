"""Matrices in, products so exact that they do not show how rows were batched out."""

from __future__ import annotations

from torch import Tensor

_GRID = 1 << 11


def steady_product(left: Tensor, right: Tensor) -> Tensor:
    """left (B, n) @ right (n, C), summed in float64 and given back in left's type.

    Libraries sum in an order that depends on the number of rows. In float32 that moves the
    last digits, which is enough to change places among hashtags that are all but equal, and
    places are what a second stage looks at. Where the device has no float64 it is float32.
    """
    if left.device.type == "mps":
        return left @ right
    product: Tensor = (left.double() @ right.double()).to(left.dtype)
    return product


def on_grid(vectors: Tensor) -> Tensor:
    """Vectors of length 1 or less, rounded to multiples of 2⁻¹¹, which float16 holds too.

    Products of two numbers are then multiples of 2⁻²², and a sum of them that stays below 2 is
    exact in float32 whatever the order: an inner product does not show how rows were batched,
    and is off by about 10⁻⁴.
    """
    return (vectors * _GRID).round() / _GRID
