"""Tables in, the same as lists out."""

from __future__ import annotations

import torch
from torch import Tensor

from reeltag.data.ragged import Ragged
from reeltag.models.layers.scores import Listed


def listed(table: Tensor) -> Listed:
    """What is not 0 of a table (B, H)."""
    row, column = table.nonzero(as_tuple=True)
    rows = Ragged.from_pairs(row, column, len(table))
    return Listed(rows, table[row, column], torch.zeros(table.shape[1]))
