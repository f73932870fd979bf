"""A dataset and extractors' names go in; the features stand in the dataset's folder.

May be killed at any time: shards of posts already read are kept, unless their clips have changed
since, and the next run goes on from there, to the same bytes. A finished feature is read
again where its clips have changed. A clip that cannot be read is recorded in the feature's
`failures.parquet` and counts as a missing modality.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from reeltag.data.dataset import Dataset
from reeltag.errors import ConfigError
from reeltag.features.base import CaptionExtractor, Extractor
from reeltag.features.contents import ClipContents, caption_contents, clip_content
from reeltag.features.earlier import FAILURES, changed_since
from reeltag.features.pool import ProcessPool, StartPool, Task
from reeltag.features.registry import make
from reeltag.features.shards import Contents, Shards, discard
from reeltag.features.worker import ClipWorker, Reading
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
    """It was there already, made by the same extractor from the same clips."""
    changed: int = 0
    """It was there, but so many clips are others now: these were read again."""
    discarded: int = 0
    """Parts of an unfinished run that were made from something else, and were made again."""


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
    pool: StartPool = ProcessPool,
    again: bool = False,
    clips_a_shard: int = CLIPS_A_SHARD,
) -> ExtractionReport:
    """Extract features of every post of `dataset`, in `workers` processes.

    Args:
        visual, acoustic, textual: extractors by name, see `reeltag.features.registry`.
        workers: how many read clips; default: one for every core the pool has.
        limits: what one clip may cost.
        pool: what the clips are read on; default: processes of this machine.
        again: extract anew what is there already.
        clips_a_shard: posts after which a part is kept; another number discards the parts
            of an unfinished run.
    Raises `ConfigError` for an unknown extractor and `MissingExtraError`.
    """
    started = time.monotonic()
    report = ExtractionReport()
    limits = limits or Limits()
    made = [
        make(modality, name)
        for modality, names in (("visual", visual), ("acoustic", acoustic), ("textual", textual))
        for name in dict.fromkeys(names)
    ]
    # The same options may be written in two ways.
    made = list({(e.feature_name, e.manifest().fingerprint): e for e in made}.values())
    if not made:
        raise ConfigError("No extractor was named. Expected one, such as efficientnet-lite1.")
    stored = {} if again else dataset.features
    clips = ClipContents(dataset, limits)
    clip_shards: list[Shards] = []
    caption_shards: list[tuple[CaptionExtractor, Shards]] = []
    for extractor in made:
        manifest, rows = extractor.manifest(), _rows(dataset, extractor)
        earlier = None
        there = stored.get(manifest.name)
        if there and there.fingerprint == manifest.fingerprint:
            if extractor.source == "clip":
                earlier = changed_since(dataset, manifest.name, rows, clips)
            if earlier is None:
                discard(dataset, manifest.name)
                report.features.append(_counted(dataset, manifest.name, skipped=True))
                continue
        extractor.prepare()
        if isinstance(extractor, CaptionExtractor):
            shards = Shards(dataset, manifest, rows, CAPTIONS_A_SHARD, _captions_of(dataset))
            caption_shards.append((extractor, shards))
        else:
            now = clips if earlier is None else earlier.contents.__getitem__
            clip_shards.append(Shards(dataset, manifest, rows, clips_a_shard, now, earlier))
    for caption_extractor, shards in caption_shards:
        _captions(dataset, caption_extractor, shards)
        _finish(shards, report)
    if clip_shards:
        _clips(dataset, clip_shards, limits, workers, pool, report)
    for shards in clip_shards:
        _finish(shards, report)
    report.seconds = time.monotonic() - started
    return report


def _rows(dataset: Dataset, extractor: Extractor) -> NDArray[np.int64]:
    posts = dataset.posts
    has = posts["clip"].is_not_null() if extractor.source == "clip" else posts["caption"] != ""
    return np.flatnonzero(has.to_numpy()).astype(np.int64)


def _captions_of(dataset: Dataset) -> Contents:
    captions = dataset.posts["caption"]
    return lambda posts: caption_contents(captions.gather(posts).to_list())


def _captions(dataset: Dataset, extractor: CaptionExtractor, shards: Shards) -> None:
    captions = dataset.posts["caption"]
    with track(f"Reading captions ({extractor.name})", shards.count) as tracker:
        for shard in range(shards.count):
            if not shards.has(shard):
                members = shards.members(shard)
                batch = captions.gather(members).to_list()
                entries = zip(caption_contents(batch), extractor.extract(batch), strict=True)
                shards.write(
                    shard,
                    {
                        post: (content.tobytes(), {shards.manifest.name: entry})
                        for post, (content, entry) in zip(members.tolist(), entries, strict=True)
                    },
                )
            tracker.advance()


def _clips(
    dataset: Dataset,
    wanted: list[Shards],
    limits: Limits,
    workers: int | None,
    pool: StartPool,
    report: ExtractionReport,
) -> None:
    """Read the clips of all unfinished shards; a shard is written when its last clip is in.

    All clip features have the same posts and shards, so shard n is the same clips for each.
    """
    first = wanted[0]
    missing = {
        shard: _Unfinished(shard, lacking)
        for shard in range(first.count)
        if (lacking := [s for s in wanted if not s.has(shard)])
    }
    if not missing:
        return
    total = sum(shard.awaited for shard in missing.values())

    def tasks() -> Iterator[Task]:
        for shard in missing.values():
            yield from shard.tasks(dataset)

    start = partial(ClipWorker, [s.manifest for s in wanted], limits)
    with (
        track("Reading clips", total) as tracker,
        pool(start, workers, total) as running,
    ):
        for task, answer in running.run(tasks()):
            if isinstance(answer, str):  # who died of a clip did not say what it was
                answer = clip_content(task.path, limits), answer
            report.clips_read += 1
            report.clips_failed += isinstance(answer[1], str)
            missing[int(np.searchsorted(first.rows, task.post)) // first.size].take(task, answer)
            _note(tracker, report)


class _Unfinished:
    """A shard that `lacking` features do not have yet."""

    def __init__(self, number: int, lacking: list[Shards]) -> None:
        self._number, self._lacking = number, lacking
        self._wanted = np.array([shards.wanted(number) for shards in lacking])
        self._readings: dict[int, Reading] = {}
        self.awaited = int(self._wanted.any(axis=0).sum())
        """Clips that are still to be read."""

    def tasks(self, dataset: Dataset) -> Iterator[Task]:
        """Its clips that some feature wants, each with these features' names."""
        members, clips = self._lacking[0].members(self._number), dataset.posts["clip"]
        if not self.awaited:
            self._write()
        for place in np.flatnonzero(self._wanted.any(axis=0)):
            lacking = zip(self._lacking, self._wanted[:, place], strict=True)
            names = tuple(shards.manifest.name for shards, wanted in lacking if wanted)
            post = int(members[place])
            yield Task(post, dataset.clip_path(clips[post]).absolute(), names)

    def take(self, task: Task, reading: Reading) -> None:
        """One of the clips has been read; after the last one the shard is stored."""
        self._readings[task.post] = reading
        self.awaited -= 1
        if not self.awaited:
            self._write()

    def _write(self) -> None:
        for shards in self._lacking:
            shards.write(self._number, self._readings)
        self._readings.clear()


def _finish(shards: Shards, report: ExtractionReport) -> None:
    shards.assemble()
    found = _counted(shards.dataset, shards.manifest.name)
    found.changed, found.discarded = shards.changed, shards.discarded
    report.features.append(found)


def _note(tracker: Tracker, report: ExtractionReport) -> None:
    tracker.advance()
    if report.clips_failed:
        tracker.note(f"{report.clips_failed} could not be read")


def _counted(dataset: Dataset, name: str, *, skipped: bool = False) -> FeatureReport:
    feature = dataset.feature(name)
    failed = _failures_of(dataset, name)
    return FeatureReport(name, len(feature), int(feature.present.sum()), failed, skipped)


def _failures_of(dataset: Dataset, name: str) -> int:
    file = dataset.path / "features" / name / FAILURES
    return int(pl.scan_parquet(file).select(pl.len()).collect().item()) if file.is_file() else 0
