"""A dataset and extractors' names go in; the features stand in the dataset's folder.

May be killed at any time: shards of posts already read are kept and the next run goes on
from there, to the same bytes. A clip that cannot be read is recorded in the feature's
`failures.parquet` and counts as a missing modality.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from reeltag.data.dataset import Dataset
from reeltag.errors import ConfigError
from reeltag.features.base import CaptionExtractor, Extractor
from reeltag.features.pool import ClipPool, StartExecutor, Task
from reeltag.features.registry import make
from reeltag.features.shards import Shards
from reeltag.media.limits import Limits
from reeltag.progress import Tracker, track

CLIPS_A_SHARD = 32
CAPTIONS_A_SHARD = 512


@dataclass
class FeatureReport:
    """What became of one feature."""

    name: str
    posts: int
    present: int
    failed: int
    skipped: bool
    """It was there already, made by the same extractor."""


@dataclass
class ExtractionReport:
    """What `extract` did."""

    features: list[FeatureReport] = field(default_factory=list)
    clips_read: int = 0
    clips_failed: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types."""
        return asdict(self)


def extract(
    dataset: Dataset,
    *,
    visual: Sequence[str] = (),
    acoustic: Sequence[str] = (),
    textual: Sequence[str] = (),
    workers: int | None = None,
    limits: Limits | None = None,
    executor: StartExecutor | None = None,
    again: bool = False,
    clips_a_shard: int = CLIPS_A_SHARD,
) -> ExtractionReport:
    """Extract features of every post of `dataset`, in `workers` processes.

    Args:
        visual, acoustic, textual: extractors by name, see `reeltag.features.registry`.
        workers: how many read clips; default: one for every core the executor has.
        limits: what one clip may cost.
        executor: what runs the clips; default: a pool of processes on this machine.
        again: extract anew what is there already.
        clips_a_shard: posts after which a part is kept; another number discards the parts
            of an unfinished run.
    Raises `ConfigError` for an unknown extractor and `MissingExtraError`.
    """
    started = time.monotonic()
    report = ExtractionReport()
    made = [
        make(modality, name)
        for modality, names in (("visual", visual), ("acoustic", acoustic), ("textual", textual))
        for name in dict.fromkeys(names)
    ]
    # The same options may be written in two ways.
    made = list({(e.feature_name, e.manifest().fingerprint): e for e in made}.values())
    if not made:
        raise ConfigError("No extractor was named. Expected one, such as efficientnet-lite1.")
    stored = dataset.features
    clip_shards: list[Shards] = []
    caption_shards: list[tuple[CaptionExtractor, Shards]] = []
    for extractor in made:
        shards = _shards(dataset, extractor, clips_a_shard)
        there = stored.get(shards.manifest.name)
        if there and there.fingerprint == shards.manifest.fingerprint and not again:
            shards.discard()
            report.features.append(_counted(dataset, there.name, skipped=True))
            continue
        extractor.prepare()
        if isinstance(extractor, CaptionExtractor):
            caption_shards.append((extractor, shards))
        else:
            clip_shards.append(shards)
    for extractor, shards in caption_shards:
        _captions(dataset, extractor, shards)
        shards.assemble()
        report.features.append(_counted(dataset, shards.manifest.name))
    if clip_shards:
        _clips(dataset, clip_shards, limits or Limits(), workers, executor or ClipPool, report)
    for shards in clip_shards:
        shards.assemble()
        report.features.append(_counted(dataset, shards.manifest.name))
    report.seconds = time.monotonic() - started
    return report


def _shards(dataset: Dataset, extractor: Extractor, clips_a_shard: int) -> Shards:
    if extractor.source == "clip":
        has = dataset.posts["clip"].is_not_null()
        size = clips_a_shard
    else:
        has = dataset.posts["caption"] != ""
        size = CAPTIONS_A_SHARD
    rows = np.flatnonzero(has.to_numpy()).astype(np.int64)
    return Shards(dataset, extractor.manifest(), rows, size)


def _captions(dataset: Dataset, extractor: CaptionExtractor, shards: Shards) -> None:
    captions = dataset.posts["caption"]
    with track(f"Reading captions ({extractor.name})", shards.count) as tracker:
        for shard in range(shards.count):
            if not shards.has(shard):
                batch = captions.gather(shards.members(shard)).to_list()
                shards.write(shard, extractor.extract(batch), [])
            tracker.advance()


def _clips(
    dataset: Dataset,
    wanted: list[Shards],
    limits: Limits,
    workers: int | None,
    start: StartExecutor,
    report: ExtractionReport,
) -> None:
    """Read the clips of all unfinished shards; a shard is written when its last clip is in.

    All clip features have the same posts and shards, so shard n is the same clips for each.
    """
    first = wanted[0]
    missing = {
        shard: [s for s in wanted if not s.has(shard)]
        for shard in range(first.count)
        if not all(s.has(shard) for s in wanted)
    }
    total = sum(len(first.members(shard)) for shard in missing)
    if not total:
        return
    clips = dataset.posts["clip"]
    ids = dataset.posts["post"]

    def tasks() -> Iterator[Task]:
        for shard, needing in missing.items():
            names = tuple(s.manifest.name for s in needing)
            for post in first.members(shard).tolist():
                yield Task(post, dataset.clip_path(clips[post]).absolute(), names)

    collected: dict[int, _Collected] = {}
    manifests = [s.manifest for s in wanted]
    with (
        track("Reading clips", total) as tracker,
        start(manifests, limits, workers, total) as pool,
    ):
        for task, answer in pool.run(tasks()):
            report.clips_read += 1
            shard = int(np.searchsorted(first.rows, task.post)) // first.size
            if shard not in collected:
                needing = {s.manifest.name: s for s in missing[shard]}
                collected[shard] = _Collected(first.members(shard), needing)
            if isinstance(answer, str):
                report.clips_failed += 1
                collected[shard].failures[task.post] = [ids[task.post], clips[task.post], answer]
            else:
                collected[shard].values[task.post] = answer
            if collected[shard].full:
                collected.pop(shard).write(shard)
            _note(tracker, report)


@dataclass
class _Collected:
    """The answers of a shard that is still being read."""

    members: NDArray[np.int64]
    shards: dict[str, Shards]
    values: dict[int, dict[str, NDArray[Any] | None]] = field(default_factory=dict)
    failures: dict[int, list[str]] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        return len(self.values) + len(self.failures) == len(self.members)

    def write(self, shard: int) -> None:
        failures = [self.failures[post] for post in sorted(self.failures)]
        for name, target in self.shards.items():
            entries = [self.values.get(post, {}).get(name) for post in self.members.tolist()]
            target.write(shard, entries, failures)


def _note(tracker: Tracker, report: ExtractionReport) -> None:
    tracker.advance()
    if report.clips_failed:
        tracker.note(f"{report.clips_failed} could not be read")


def _counted(dataset: Dataset, name: str, *, skipped: bool = False) -> FeatureReport:
    feature = dataset.feature(name)
    failed = _failures_of(dataset, name)
    return FeatureReport(name, len(feature), int(feature.present.sum()), failed, skipped)


def _failures_of(dataset: Dataset, name: str) -> int:
    file = dataset.path / "features" / name / "failures.parquet"
    return int(pl.scan_parquet(file).select(pl.len()).collect().item()) if file.is_file() else 0
