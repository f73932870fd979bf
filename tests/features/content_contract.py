"""What extraction on every executor keeps to when clips change; its tests inherit this."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.features.pool_workers import NotingWorker
from tests.features.test_job import content, make_dataset
from tests.features.test_onnx_file import mean_colour
from tests.media.clips import write_clip

from reeltag.data.dataset import Dataset
from reeltag.features.job import ExtractionReport, extract

POSTS, A_SHARD = 10, 2


def replace(folder: Path, number: int) -> None:
    """Put another clip in a clip's place: same name, size, time and inode."""
    clip, other = folder / f"{number}.mp4", folder / f"other-{number}.mp4"
    before = clip.stat()
    with clip.open("r+b") as stream:
        stream.write(other.read_bytes())
    os.utime(clip, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = clip.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


class ContentContract:
    """`pool` is the class that extraction runs on; two workers fit in."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A clip for each post, and others of the same size; one is broken."""
        for n in range(POSTS):
            for name in (f"{n}.mp4", f"other-{n}.mp4"):
                write_clip(tmp_path / name, noise=len(name) * POSTS + n, frames=4, sound=None)
        (tmp_path / "3.mp4").write_bytes(b"no video")
        most = max(file.stat().st_size for file in tmp_path.iterdir())
        for file in tmp_path.iterdir():
            file.write_bytes(file.read_bytes().ljust(most, b"\0"))
        mean_colour(tmp_path / "colour.onnx")
        return tmp_path

    def dataset(self, folder: Path, name: str = "data") -> Dataset:
        return make_dataset(folder / name, [str(folder / f"{n}.mp4") for n in range(POSTS)])

    def run(
        self, pool: Any, dataset: Dataset, stop: int | None = None
    ) -> tuple[ExtractionReport | None, list[str]]:
        """Extract, or stop after so many answers: the report, and the clips that were begun."""
        folder, log = dataset.path.parent, dataset.path.parent / "log"
        log.unlink(missing_ok=True)

        class Stopped(pool):  # type: ignore[misc]
            def run(self, tasks: Any) -> Iterator[Any]:
                for number, answer in enumerate(super().run(tasks)):
                    if number == stop:
                        raise KeyboardInterrupt
                    yield answer

        report = None
        try:
            report = extract(
                dataset,
                visual=[f"onnx:{folder / 'colour.onnx'}"],
                workers=2,
                clips_a_shard=A_SHARD,
                pool=lambda start, workers, tasks: Stopped(
                    partial(NotingWorker, *start.args, log), workers, tasks
                ),
            )
        except KeyboardInterrupt:
            assert stop is not None
        told = log.read_text().splitlines() if log.is_file() else []
        return report, sorted(line.split()[0] for line in told)

    def expected(self, folder: Path) -> dict[str, bytes]:
        """The feature as it is read at once."""
        fresh = self.dataset(folder, "fresh")
        extract(fresh, visual=[f"onnx:{folder / 'colour.onnx'}"], workers=1, clips_a_shard=A_SHARD)
        return content(fresh, "visual-colour")

    def test_a_clip_replaced_before_the_next_start_is_read_again(self, pool, folder):
        dataset = self.dataset(folder)
        assert self.run(pool, dataset, stop=7)[0] is None
        parts = sorted((dataset.path / "features" / ".visual-colour.partial").glob("*"))
        kept = {int(part.name.partition("-")[0]): part.stat().st_mtime_ns for part in parts}
        assert 2 <= len(kept) < POSTS / A_SHARD
        replaced, touched = (A_SHARD * shard for shard in list(kept)[:2])
        replace(folder, replaced)
        os.utime(folder / f"{touched}.mp4", (0, 0))
        report, begun = self.run(pool, dataset)
        (made,) = report.features
        assert (made.discarded, made.changed, made.skipped) == (1, 0, False)
        del kept[replaced // A_SHARD]
        assert begun == [f"{n}.mp4" for n in range(POSTS) if n // A_SHARD not in kept]
        assert content(dataset, "visual-colour") == self.expected(folder)

    def test_of_a_finished_feature_changed_clips_alone_are_read(self, pool, folder):
        dataset = self.dataset(folder)
        self.run(pool, dataset)
        values = dataset.feature("visual-colour").values.copy()
        replace(folder, 3)  # which was broken
        replace(folder, 4)
        (folder / "5.mp4").rename(folder / "away")
        report, begun = self.run(pool, dataset)
        assert begun == ["3.mp4", "4.mp4"]
        assert [(f.changed, f.skipped, f.failed) for f in report.features] == [(2, False, 0)]
        feature = dataset.feature("visual-colour")
        assert feature.present.all()
        assert (feature.values != values).any(axis=1).nonzero()[0].tolist() == [3, 4]
        (folder / "away").rename(folder / "5.mp4")
        assert content(dataset, "visual-colour") == self.expected(folder)
