"""How GCN-PHR's epoch grows: with triples at four sizes, and with users at the same triples.

Random data of YFCC100M's shape, the fast path of `benchmarks.gcn_phr`. Writes
`build/scaling.png`.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.gcn_phr import FAST, Figures, epoch
from benchmarks.measure import figure
from benchmarks.papersize import YFCC100M, Size, feature_file, scaled, training_set
from reeltag.runtime import set_threads

SHARES = (0.125, 0.25, 0.5, 1.0)
USERS = (2_000, 8_000, 32_000)


def main() -> Figures:
    """Seconds of an epoch at each size, as microseconds a triple, and by number of users."""
    set_threads()
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        sizes = [scaled(YFCC100M, share) for share in SHARES]
        by_size = [_seconds(size, Path(folder)) for size in sizes]
        half = scaled(YFCC100M, 0.5)
        by_users = [_seconds(replace(half, users=users), Path(folder)) for users in USERS]
    each = [1e6 * seconds / size.triples for size, seconds in zip(sizes, by_size, strict=True)]
    for size, seconds, micro in zip(sizes, by_size, each, strict=True):
        name = f"gcn_epoch_of_{size.triples}_triples"
        figures[name] = figure(seconds, "s", None, f"{micro:.0f} µs a triple", "below")
    figures["gcn_cost_of_a_triple_largest_to_smallest"] = figure(
        each[-1] / each[0], "ratio", 1.5, "1 is linear; below 1.5 is the caches' share", "below"
    )
    for users, seconds in zip(USERS, by_users, strict=True):
        figures[f"gcn_epoch_with_{users}_users"] = figure(
            seconds, "s", None, f"{half.triples} triples", "below"
        )
    figures["gcn_epoch_most_to_fewest_users"] = figure(
        by_users[-1] / by_users[0], "ratio", 1.1, "1: users cost nothing", "below"
    )
    _draw(sizes, by_size, by_users, Path("build") / "scaling.png")
    return figures


def _seconds(size: Size, folder: Path) -> float:
    path = feature_file(folder / "features.npy", size)
    seconds, _ = epoch(training_set(size, path), FAST)
    path.unlink()
    return seconds


def _draw(sizes: list[Size], by_size: list[float], by_users: list[float], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6))
    triples = [size.triples / 1e3 for size in sizes]
    left.plot(triples, by_size, "o-", color="#1d4a8c", label="measured")
    line = [by_size[-1] * count / triples[-1] for count in triples]
    left.plot(triples, line, ":", color="#888888", label="linear")
    left.set_xlabel("triples, thousands")
    left.legend(frameon=False)
    right.plot([users / 1e3 for users in USERS], by_users, "o-", color="#c2571a")
    right.set_xlabel(f"users, thousands, at {sizes[-2].triples // 1000}k triples")
    for axes in (left, right):
        axes.set_ylabel("seconds an epoch")
        axes.set_ylim(bottom=0)
    figure.suptitle("An epoch of GCN-PHR, 2 cores")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    pyplot.close(figure)
