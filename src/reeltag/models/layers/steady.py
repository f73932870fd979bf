"""Two matrices in, their product out, so exact that it does not show how rows were batched."""

from __future__ import annotations

from torch import Tensor


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
