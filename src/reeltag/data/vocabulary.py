"""Names to numbers: a vocabulary of users or hashtags counted on training posts alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from reeltag.errors import RunError
from reeltag.storage import write_parquet

UNKNOWN = -1
"""Id of a name the vocabulary does not hold."""


class Vocabulary:
    """Names with their training counts; ids run from the most used name to the least.

    Ties in count are ordered by name, so equal data gives equal ids. Rankings resolve
    equal scores towards the lower id, that is, towards the more used hashtag.

    An id may have lost its name (`concealed`): it is "", and no name leads to it.
    """

    def __init__(self, names: Sequence[str], counts: ArrayLike) -> None:
        self.names = list(names)
        self.counts: NDArray[np.int64] = np.asarray(counts, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def index(self) -> dict[str, int]:
        """Id by name."""
        return {name: number for number, name in enumerate(self.names) if name}

    @cached_property
    def _codes(self) -> tuple[pl.Enum, NDArray[np.int64]]:
        """The names held, as a type of column, and the id of each of its codes."""
        return pl.Enum(list(self.index)), np.fromiter(self.index.values(), np.int64)

    def id_of(self, name: str | None) -> int:
        """The id of one name, or `UNKNOWN`."""
        return UNKNOWN if name is None else self.index.get(name, UNKNOWN)

    def ids_of(self, names: pl.Series) -> NDArray[np.int64]:
        """Ids of a whole column (n,), `UNKNOWN` where a name is null or not held."""
        if not self.index:
            return np.full(len(names), UNKNOWN, dtype=np.int64)
        # As an Enum a name takes four bytes; other ways hold several copies of the column.
        held, ids = self._codes
        codes = names.cast(pl.Utf8).cast(held, strict=False).to_physical()
        known: NDArray[np.int64] = ids[codes.fill_null(0).to_numpy()]
        if codes.null_count():
            known[codes.is_null().to_numpy()] = UNKNOWN
        return known

    @classmethod
    def count(cls, names: pl.Series, minimum: int = 1) -> Vocabulary:
        """Count a column of names (nulls left out), keeping those with `minimum` uses."""
        counted = (
            names.drop_nulls()
            .alias("name")
            .to_frame()
            .group_by("name")
            .len()
            .filter(pl.col("len") >= minimum)
            .sort(["len", "name"], descending=[True, False])
        )
        return cls(counted["name"].to_list(), counted["len"].to_list())

    def recounted(self, names: pl.Series, grow: bool = False, minimum: int = 1) -> Vocabulary:
        """The same names with their counts in another column; ids stay.

        With `grow`, names not held follow, of `minimum` uses, from the most used to the least.
        """
        found = Vocabulary.count(names, minimum)
        counts = dict(zip(found.names, found.counts.tolist(), strict=True))
        held = self.names + [name for name in found.names if grow and name not in self.index]
        return Vocabulary(held, [counts.get(name, 0) for name in held])

    def with_unused(self, names: Sequence[str]) -> Vocabulary:
        """The same and, after them, `names` that it does not hold yet, with 0 uses."""
        return Vocabulary([*self.names, *names], [*self.counts.tolist(), *[0] * len(names)])

    def grown(self, names: Sequence[str]) -> Vocabulary:
        """With new `names` at the end, not counted yet: their ids are no order of use."""
        return Vocabulary(
            [*self.names, *names], np.concatenate([self.counts, np.zeros(len(names), np.int64)])
        )

    def concealed(self, names: Collection[str] | None = None) -> Vocabulary:
        """A copy with the same ids and counts in which `names`, or all of them, are not known."""
        gone = self.index if names is None else names
        kept = ["" if name in gone else name for name in self.names]
        return Vocabulary(kept, self.counts.copy())

    def save(self, path: Path) -> None:
        """Write as Parquet (name, count), atomically."""
        schema = {"name": pl.Utf8, "count": pl.Int64}
        write_parquet(path, pl.DataFrame({"name": self.names, "count": self.counts}, schema))

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read what `save` wrote. Raises `RunError` where it is damaged."""
        try:
            stored = pl.read_parquet(path)
            return cls(stored["name"].to_list(), stored["count"].to_list())
        except (OSError, pl.exceptions.PolarsError) as fault:
            raise RunError(f"Vocabulary {path} cannot be read: {fault}") from fault
