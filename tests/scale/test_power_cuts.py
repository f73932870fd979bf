"""Import, extract, train and export are killed at random moments and end as if they were not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from reeltag.data.dataset import Dataset
from reeltag.data.importers import import_posts
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.experiments.train import train_run
from tests.artefacts.make import SETTINGS
from tests.conftest import make_dataset
from tests.features.test_onnx_file import mean_colour
from tests.media.clips import write_clip
from tests.scale.nursery import Nursery
from tests.scale.power import Cuts, Start, begin, cut

SHORT, LONG = 5, 50
ROWS, CLIPS = 3000, 70


def posts(folder: Path) -> None:
    """Posts to import, one of which is none."""
    rows = [
        {
            "id": f"p{n}",
            "who": f"u{n % 50}",
            "text": f"a #day{n % 9}",
            "x": n,
        }
        for n in range(ROWS)
    ]
    lines = [json.dumps(row) for row in rows]
    (folder / "posts.jsonl").write_text("\n".join([*lines, "no post"]))


def clips(folder: Path) -> None:
    """A dataset whose posts have clips, one of which is none, and a network to read them with."""
    write_clip(folder / "clip.mp4", frames=3, sound=None)
    (folder / "bad.mp4").write_text("no clip")
    rows = [
        {"post": f"p{n}", "caption": f"a day {n}", "hashtags": ["a"], "clip": "clip.mp4"}
        for n in range(CLIPS)
    ]
    rows[7]["clip"] = "bad.mp4"
    (folder / "posts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    import_posts(folder / "posts.jsonl", folder / "data")
    mean_colour(folder / "colour.onnx")


def trainable(folder: Path) -> None:
    """A dataset with a split."""
    make_split(make_dataset(folder / "data"), "main", SplitRecipe())


def trained(folder: Path) -> None:
    """A finished run."""
    trainable(folder)
    settings = {**SETTINGS["gcn-phr"], "epochs": 1}
    train_run(Dataset.open(folder / "data"), "main", "gcn-phr", settings, folder / "run")
    shutil.rmtree(folder / "data")


IMPORT = [
    "import", "posts.jsonl", "data", "--map", "post=id", "--map", "user=who", "--map",
    "caption=text", "--feature", "visual=x", "--rejects", "rejects.jsonl", "--replace",
]  # fmt: skip
EXTRACT = [
    "extract", "data", "--visual", "onnx:colour.onnx", "--textual", "tokens", "--workers", "1",
]  # fmt: skip
TRAIN = [
    "train", "data", "--model", "gcn-phr", "--set", "epochs=4", "--set", "dim=4", "--set",
    "features=visual", "--device", "cpu", "--out", "run", "--resume",
]  # fmt: skip
EXPORT = ["export", "run", "--out", "out", "--replace"]
ROADS = {
    "import": (posts, IMPORT), "extract": (clips, EXTRACT), "train": (trainable, TRAIN),
    "export": (trained, EXPORT),
}  # fmt: skip


def killed(
    name: str, kills: int, root: Path, monkeypatch: pytest.MonkeyPatch, start: Start = begin
) -> Cuts:
    torch.set_num_threads(1)
    monkeypatch.setenv("REELTAG_CACHE", str(root / "cache"))
    prepare, arguments = ROADS[name]
    cuts = cut(prepare, arguments, root, kills, start=start)
    assert cuts.kills == kills
    print(f"{name}: {cuts.kills} kills on {cuts.roads} roads, which met {len(cuts.seen)} files")
    return cuts


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.mark.parametrize("name", ROADS)
def test_a_few_power_cuts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nursery: Nursery
) -> None:
    killed(name, SHORT, tmp_path, monkeypatch, nursery.start)


@pytest.mark.long
@pytest.mark.parametrize("name", ROADS)
def test_many_power_cuts(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts = killed(name, LONG, tmp_path, monkeypatch)
    assert cuts.seen, "no kill met anything that was being written"
