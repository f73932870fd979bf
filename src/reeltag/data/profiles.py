"""What is known about users (gender, age, country ...) in, one small code a field out.

Fields are the columns of `users.parquet` beyond the counted ones. A categorical field (text or
true/false) has a code for each value; a numeric one for each of a few bins, which are named
("18-24"). Code 0 is "unknown": missing, or never seen in training. Values and bins come from
the users of training posts alone.

A numeric field of at most `BINS` values has a bin for each; of more, bins hold about equally many
users, and a value that so many share that it fills a bin has one of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from reeltag.data.schema import COUNTED
from reeltag.errors import ConfigError, RunError

BINS = 6
"""Bins of a numeric field, of about equally many training users, at most."""
MOST_VALUES = 1000
"""A categorical field keeps its most common values; rarer ones are unknown."""


Kind = Literal["categorical", "numeric"]


@dataclass(frozen=True)
class Field:
    """One field: its values (or the names of its bins) in the order of their codes, from 1.

    edges: lower ends of all bins but the first, for a numeric field.
    """

    name: str
    kind: Kind
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
        if not self.fields:
            return torch.zeros(len(names), 0, dtype=torch.int64)
        wanted = pl.DataFrame({"user": names.cast(pl.Utf8)})
        have = [field.name for field in self.fields if field.name in users.columns]
        joined = wanted.join(
            users.select("user", *have), on="user", how="left", maintain_order="left"
        )
        return self._stack(joined)

    def of(self, profile: Mapping[str, Any]) -> Tensor:
        """Codes (F,) of one user described by `profile`; fields left out are unknown.

        Raises `ConfigError` for a name that is no field, and for a value that is no number
        where one is expected.
        """
        fields = {field.name: field for field in self.fields}
        for name in profile:
            if name not in fields:
                expected = (
                    f"expected one of: {', '.join(fields)}"
                    if fields
                    else "but no field of the users was known in training"
                )
                raise ConfigError(f"Got {name!r} about a user, {expected}.")
        return self._stack(
            pl.DataFrame([_given(fields[name], value) for name, value in profile.items()])
            if profile
            else pl.DataFrame({"": [None]})
        )[0]

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
            return Fields(tuple(_checked(one) for one in stored))
        except (KeyError, TypeError, ValueError) as fault:
            raise RunError(f"The fields of users are damaged: {fault}. Train again.") from fault


def _checked(stored: Mapping[str, Any]) -> Field:
    """One stored field. Raises what `from_list` catches where its codes could not be trusted."""
    field = Field(
        str(stored["name"]),
        stored["kind"],
        tuple(str(value) for value in stored["values"]),
        tuple(float(edge) for edge in stored["edges"]),
    )
    if field.kind not in get_args(Kind):
        raise ValueError(f"{field.name!r} is of kind {field.kind!r}")
    bins = len(field.edges) + 1 if field.kind == "numeric" else len(field.values)
    if bins != len(field.values) or list(field.edges) != sorted(field.edges):
        raise ValueError(f"{field.name!r} has {len(field.values)} values and edges {field.edges}")
    return field


def _given(field: Field, value: Any) -> pl.Series:
    """One value that somebody gave for `field`, as a column of one row."""
    if isinstance(value, str):
        value = value.strip()
    if value is not None and not isinstance(value, str | bool | int | float):
        raise ConfigError(f"Got {field.name}={value!r} about a user, expected text or a number.")
    if field.kind == "categorical" or value is None:
        return pl.Series(field.name, [value])
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = np.nan
    if not np.isfinite(number):
        raise ConfigError(f"Got {field.name}={value!r} about a user, expected a number.")
    return pl.Series(field.name, [number])


def _field(name: str, values: pl.Series) -> Field:
    if values.dtype.is_numeric():
        return _numeric(name, values.cast(pl.Float64))
    counted = values.cast(pl.Utf8).alias("value").value_counts(name="users")
    common = counted.sort(["users", "value"], descending=[True, False])["value"]
    return Field(name, "categorical", tuple(common.head(MOST_VALUES).to_list()))


def _numeric(name: str, values: pl.Series) -> Field:
    numbers = np.sort(values.filter(values.is_finite()).to_numpy())
    if not len(numbers):
        return Field(name, "numeric", ())
    edges = _edges(numbers)
    whole = bool((numbers == np.round(numbers)).all())
    return Field(name, "numeric", _names(edges, whole), tuple(edges))


def _edges(numbers: NDArray[np.float64]) -> list[float]:
    """Lower ends of all bins but the first, at most `BINS` - 1, of sorted numbers (n,)."""
    distinct = np.unique(numbers)
    if len(distinct) <= BINS:
        return list(distinct[1:].tolist())
    at = np.linspace(0, len(numbers), BINS + 1)[1:-1].astype(int)
    edges, times = np.unique(numbers[at], return_counts=True)
    # Where one value fills a bin or more, what is larger starts a bin of its own; else
    # nine zeros in ten would leave a single bin.
    heavy = edges[(times > 1) | (edges == distinct[0])]
    after = np.searchsorted(distinct, heavy, side="right")
    edges = np.union1d(edges, distinct[after[after < len(distinct)]])
    return list(edges[edges > distinct[0]].tolist())


def _names(edges: Sequence[float], whole: bool) -> tuple[str, ...]:
    """ "below 18", "18-24", "25 and more"; ends of bins of fractions are half open."""
    if not edges:
        return ("any",)
    between = [_span(low, high - 1 if whole else high) for low, high in itertools.pairwise(edges)]
    return (f"below {_short(edges[0])}", *between, f"{_short(edges[-1])} and more")


def _span(low: float, high: float) -> str:
    if low == high:
        return _short(low)
    return f"{_short(low)}{' to ' if low < 0 else '-'}{_short(high)}"


def _short(number: float) -> str:
    """Whole numbers in full, so that the names of neighbouring bins differ."""
    return f"{number:.0f}" if number == round(number) and abs(number) < 1e15 else f"{number:.12g}"
