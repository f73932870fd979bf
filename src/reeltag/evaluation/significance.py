"""Two models' values on the same posts in; p values, Holm's correction and intervals out.

Posts are the unit: a model trained with several seeds comes with one value a post, its mean
over the seeds. Three questions are asked of the differences d of n posts:

    paired t test      is the mean of d zero?  t = mean(d) / (sd(d) / √n), n - 1 degrees
    Wilcoxon           are d symmetric about zero?  signed ranks (Wilcoxon 1945), zeros left
                       out, mid-ranks for ties, normal approximation with tie correction
    bootstrap          where does the mean of d lie?  percentile interval over posts (Efron 1979)

Where a family of comparisons is made, p values are corrected by Holm (1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.05
"""Corrected p values below it are called significant."""
RESAMPLES = 2000
_BUDGET = 64 << 20
"""Bytes one block of resamples may take."""
_NOTHING = 1e-12
"""Differences below it are rounding of means over seeds, not differences."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class PairedTest:
    """How `first` differs from `second` over n posts; intervals are of the mean difference."""

    first: str
    second: str
    posts: int
    difference: float
    """Mean of first - second."""
    low: float
    high: float
    t_p: float
    wilcoxon_p: float
    t_holm: float
    """`t_p` corrected for the family it was made in; likewise `wilcoxon_holm`."""
    wilcoxon_holm: float

    @property
    def significant(self) -> bool:
        """Whether the corrected t test says that the means differ."""
        return self.t_holm < LEVEL


def compare_pairs(
    values: Mapping[str, Values],
    pairs: Sequence[tuple[str, str]],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> list[PairedTest]:
    """Test each pair of names in `values`, each (n,) over the same posts, as one family.

    All pairs see the same resamples. Raises `ValueError` where lengths differ.
    """
    if not pairs:
        return []
    differences = np.stack([_difference(values[a], values[b]) for a, b in pairs], axis=1)
    means = bootstrap_means(differences, resamples, seed)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    t = np.array([paired_t(column) for column in differences.T])
    wilcoxon = np.array([signed_rank(column) for column in differences.T])
    t_holm, wilcoxon_holm = holm(t), holm(wilcoxon)
    return [
        PairedTest(
            first=first,
            second=second,
            posts=len(differences),
            difference=float(differences[:, k].mean()),
            low=float(low[k]),
            high=float(high[k]),
            t_p=float(t[k]),
            wilcoxon_p=float(wilcoxon[k]),
            t_holm=float(t_holm[k]),
            wilcoxon_holm=float(wilcoxon_holm[k]),
        )
        for k, (first, second) in enumerate(pairs)
    ]


def paired_t(differences: Values) -> float:
    """Two-sided p of the paired t test on differences (n,).

    Without spread it is 1 where the mean is zero and 0 elsewhere; 1 for fewer than two posts.
    """
    n = len(differences)
    if n < 2:
        return 1.0
    mean, deviation = differences.mean(), differences.std(ddof=1)
    if deviation < _NOTHING:
        return 1.0 if abs(mean) < _NOTHING else 0.0
    return float(2 * stats.t.sf(abs(mean) / (deviation / np.sqrt(n)), n - 1))


def signed_rank(differences: Values) -> float:
    """Two-sided p of Wilcoxon's signed-rank test on differences (n,); 1 where all are zero."""
    kept = differences[np.abs(differences) >= _NOTHING]
    n = len(kept)
    if not n:
        return 1.0
    # Rounded, so that differences equal but for the last bit share a rank.
    size = np.round(np.abs(kept), 12)
    ranks = stats.rankdata(size)
    ties = np.unique(size, return_counts=True)[1].astype(np.float64)
    variance = n * (n + 1) * (2 * n + 1) / 24 - (ties**3 - ties).sum() / 48
    centred = ranks[kept > 0].sum() - n * (n + 1) / 4
    return float(2 * stats.norm.sf(abs(centred) / np.sqrt(variance)))


def holm(p_values: Sequence[float] | Values) -> Values:
    """Holm's step-down correction of a family of p values (k,), in their order.

    The i-th smallest of k is multiplied by k - i + 1; no corrected value falls below one of
    a smaller p, none exceeds 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def bootstrap_means(values: Values, resamples: int = RESAMPLES, seed: int = 0) -> Values:
    """Means of `values` (n, k) over posts drawn with replacement: (resamples, k).

    Every column sees the same draws. Works in blocks of at most 64 MiB.
    """
    n, k = values.shape
    random = np.random.default_rng(seed)
    block = max(1, _BUDGET // (32 * n))
    means = np.empty((resamples, k))
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = random.integers(n, size=(count, n))
        drawn += n * np.arange(count)[:, None]
        times = np.bincount(drawn.reshape(-1), minlength=count * n).reshape(count, n)
        means[start : start + count] = times @ values / n
    return means


def bootstrap_interval(
    values: Values, *, resamples: int = RESAMPLES, seed: int = 0, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the mean of `values` (n,)."""
    tail = 50 * (1 - confidence)
    low, high = np.percentile(
        bootstrap_means(values[:, None], resamples, seed)[:, 0], [tail, 100 - tail]
    )
    return float(low), float(high)


def _difference(first: Values, second: Values) -> Values:
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(
            f"Got values of shapes {first.shape} and {second.shape}, "
            "expected one value a post, over the same posts."
        )
    differences = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    differences[np.abs(differences) < _NOTHING] = 0.0
    return differences
