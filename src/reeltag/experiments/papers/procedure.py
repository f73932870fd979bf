"""What a paper did for one table or figure, and the numbers it printed, free of any dataset.

Printed numbers are shown beside ours in grey, never compared: each table says why not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from reeltag.evaluation.protocols import Protocol

SIMPLE_PEERS = ("popularity", "user-history", "content-knn", "blend")
"""Rules that no paper compares with and every table must."""

Kind = Literal[
    "table",
    "posts",
    "distribution",
    "counts",
    "sweep",
    "popularity",
    "buckets",
    "variants",
    "calibration",
]
"""What is shown:

    table           models, side by side
    posts           some posts with what each model recommends
    distribution    how often each hashtag is used, natural and balanced
    counts          hashtags of a post and uses of a hashtag
    sweep           one model with one setting after the other varied
    popularity      models by how much used the hashtag is that is looked for
    buckets         the same, each trained and judged on such hashtags alone
    variants        one model with each of several settings
    calibration     how often hashtags are right whose chance a model gives
"""


@dataclass(frozen=True)
class PaperTable:
    """A printed table: data set to model to one number a column."""

    source: str
    why_not: str
    """One sentence: why its numbers cannot be compared with ours."""
    columns: tuple[str, ...]
    """Our names of the metrics, in the paper's order."""
    headings: tuple[str, ...]
    """The paper's names of them."""
    numbers: Mapping[str, Mapping[str, tuple[float, ...]]]
    rows: Mapping[str, str]
    """Our name of a model, or of what else a row is about, to the paper's."""
    note: str = ""

    def of(self, row: str) -> dict[str, tuple[float, ...]]:
        """Data set to the numbers printed for one of our rows; empty where it has none."""
        name = self.rows.get(row)
        if name is None:
            return {}
        return {data: rows[name] for data, rows in self.numbers.items()}

    def as_json(self) -> dict[str, Any]:
        """Source, columns and numbers by our names of the models."""
        return {
            "source": self.source,
            "why_not_comparable": self.why_not,
            "note": self.note,
            "columns": list(self.columns),
            "numbers": {
                data: {ours: list(rows[theirs]) for ours, theirs in self.rows.items()}
                for data, rows in self.numbers.items()
            },
        }


@dataclass(frozen=True)
class Sweep:
    """One setting and the values it is given, everything else as it is."""

    setting: str
    symbol: str
    """The paper's name of it."""
    values: tuple[float, ...]
    scale: Literal["linear", "powers"] = "linear"
    """How the values lie on the axis; `powers` of two."""


@dataclass(frozen=True)
class Procedure:
    """What a paper did, ready for any dataset."""

    name: str
    title: str
    kind: Kind = "table"
    models: tuple[str, ...] = ()
    protocol: Protocol = "full"
    """The paper's own; tables give full ranking too."""
    tops: tuple[int, ...] = (5, 10)
    metrics: tuple[str, ...] = ("precision", "recall", "f1")
    """What a sweep shows, at the largest of `tops`."""
    seeds: int = 3
    """How many fits there are where nobody says."""
    paper: PaperTable | None = None
    """The table whose numbers stand beside ours; none for a figure."""
    papers: Mapping[str, PaperTable] = field(default_factory=dict)
    """The same where there is a table a popularity of hashtags."""
    balance_top: int = 0
    """So many of the most used hashtags are first made about as rare as the others."""
    one_modality: bool = False
    """Models that read vectors get visual ones where the others read a grid of regions."""
    sweeps: tuple[Sweep, ...] = ()
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name to the settings that make the variant."""
    rows: str = "model"
    """What the rows of its tables are."""
    lead: tuple[str, ...] = ()
    """What a reader must know of the paper's own, said first."""
