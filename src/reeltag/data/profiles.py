"""What is known about users (gender, age, country ...) in, one small code a field out.

Fields are the columns of `users.parquet` beyond the counted ones. A categorical field (text or
true/false) has a code for each value; a numeric one for each of a few bins, which are named
("18-24"). Code 0 is "unknown": missing, or never seen in training. Values and bins come from
the users of training posts alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from torch import Tensor

from reeltag.data.schema import COUNTED
from reeltag.errors import ConfigError, RunError

BINS = 6
"""Bins of a numeric field, of about equally many training users."""
MOST_VALUES = 1000
"""A categorical field keeps its most common values; rarer ones are unknown."""


@dataclass(frozen=True)
class Field:
    """One field: its values (or the names of its bins) in the order of their codes, from 1.

    edges: lower ends of all bins but the first, for a numeric field.
    """

    name: str
    kind: Literal["categorical", "numeric"]
    values: tuple[str, ...]
    edges: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Codes there are, "unknown" included."""
        return len(self.values) + 1

    def codes(self, column: pl.Series) -> Tensor:
        """Codes (n,) of a column of values; 0 where one is null or unknown."""
        if self.kind == "numeric":
            numbers = column.cast(pl.Float64, strict=False)
            known = (numbers.is_not_null() & numbers.is_finite()).fill_null(False).to_numpy()
            bins = np.searchsorted(self.edges, numbers.fill_null(0).to_numpy(), side="right")
            return torch.from_numpy(np.where(known, bins + 1, 0).astype(np.int64))
        code = {value: number for number, value in enumerate(self.values, start=1)}
        texts = column.cast(pl.Utf8)
        return torch.from_numpy(
            texts.replace_strict(code, default=0, return_dtype=pl.Int64).to_numpy().copy()
        )


@dataclass(frozen=True)
class Fields:
    """The fields that a model knows of its users, with what each code means."""

    fields: tuple[Field, ...] = ()

    @staticmethod
    def fit(users: pl.DataFrame) -> Fields:
        """Values and bins of the training users, one row a user. Empty fields are left out."""
        found = (
            _field(name, users[name].drop_nulls()) for name in users.columns if name not in COUNTED
        )
        return Fields(tuple(field for field in found if field.values))

    @property
    def widths(self) -> tuple[int, ...]:
        """Codes of each field, "unknown" included."""
        return tuple(field.width for field in self.fields)

    def codes(self, users: pl.DataFrame, names: pl.Series) -> Tensor:
        """Codes (n, F) of the users called `names`; 0 for null and for whom nothing is known."""
        wanted = pl.DataFrame({"user": names.cast(pl.Utf8)})
        have = [field.name for field in self.fields if field.name in users.columns]
        joined = wanted.join(
            users.select("user", *have), on="user", how="left", maintain_order="left"
        )
        return self._stack(joined)

    def of(self, profile: Mapping[str, Any]) -> Tensor:
        """Codes (F,) of one user described by `profile`; fields left out are unknown.

        Raises `ConfigError` for a name that is no field.
        """
        known = [field.name for field in self.fields]
        for name in profile:
            if name not in known:
                raise ConfigError(
                    f"Got {name!r} about a user, expected one of: {', '.join(known) or 'nothing'}."
                )
        row = pl.DataFrame({name: [value] for name, value in profile.items()} or {"": [None]})
        return self._stack(row)[0]

    def _stack(self, frame: pl.DataFrame) -> Tensor:
        codes = [
            field.codes(frame[field.name])
            if field.name in frame.columns
            else torch.zeros(frame.height, dtype=torch.int64)
            for field in self.fields
        ]
        if not codes:
            return torch.zeros(frame.height, 0, dtype=torch.int64)
        return torch.stack(codes, 1)

    def as_list(self) -> list[dict[str, Any]]:
        """As `run.toml` stores it."""
        return [
            {**asdict(field), "values": list(field.values), "edges": list(field.edges)}
            for field in self.fields
        ]

    @staticmethod
    def from_list(stored: Sequence[Mapping[str, Any]]) -> Fields:
        """Read what `as_list` gave. Raises `RunError` where it is damaged."""
        try:
            return Fields(
                tuple(
                    Field(str(one["name"]), one["kind"], tuple(one["values"]), tuple(one["edges"]))
                    for one in stored
                )
            )
        except (KeyError, TypeError) as fault:
            raise RunError(f"The fields of users are damaged: {fault}. Train again.") from fault


def _field(name: str, values: pl.Series) -> Field:
    if values.dtype.is_numeric():
        return _numeric(name, values.cast(pl.Float64))
    counted = values.cast(pl.Utf8).value_counts().sort(["count", name], descending=[True, False])
    return Field(name, "categorical", tuple(counted[name].head(MOST_VALUES).to_list()))


def _numeric(name: str, values: pl.Series) -> Field:
    numbers = np.sort(values.filter(values.is_finite()).to_numpy())
    if not len(numbers):
        return Field(name, "numeric", ())
    at = np.linspace(0, len(numbers), BINS + 1)[1:-1].astype(int)
    edges = [edge for edge in np.unique(numbers[at]).tolist() if edge > numbers[0]]
    return Field(
        name, "numeric", _names(edges, bool((numbers == np.round(numbers)).all())), tuple(edges)
    )


def _names(edges: Sequence[float], whole: bool) -> tuple[str, ...]:
    """ "below 18", "18-24", "25 and more"; ends of bins of fractions are half open."""
    if not edges:
        return ("any",)
    between = [_span(low, high - 1 if whole else high) for low, high in itertools.pairwise(edges)]
    return (f"below {edges[0]:g}", *between, f"{edges[-1]:g} and more")


def _span(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g}-{high:g}"
