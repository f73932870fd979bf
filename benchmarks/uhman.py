"""UHMAN at the paper's size, on random data of the right shape: steps, reading, scoring.

64 posts x 12 frames x 64 regions x 2048 channels a step, K = d = 32, 669 hashtags.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measure import figure, median_ms, p99_ms
from reeltag.data.batches import NO_TIME, FeatureReader, PostBatch, Steps
from reeltag.data.feature import Feature, Manifest
from reeltag.data.ragged import Ragged
from reeltag.models.contract import Sizes, TrainingBatch
from reeltag.models.layers.top import top_k
from reeltag.models.registry import build
from reeltag.models.uhman import Uhman
from reeltag.runtime import set_threads
from reeltag.training.config import TrainingConfig
from reeltag.training.loop import optimiser_of

POSTS, FRAMES, REGIONS, CHANNELS, HASHTAGS = 64, 12, 64, 2048, 669
FIELDS = (3, 7, 40)
STORED = 512
"""Posts on disk for the reading benchmark: 1.6 GB in float16."""


def main() -> dict[str, dict[str, Any]]:
    """A step against its matrix products, reading a batch against a step, and scoring."""
    set_threads()
    torch.manual_seed(0)
    manifest = Manifest(
        "visual-random", "visual", "random", "grid", (REGIONS, CHANNELS), "float16", "clip",
        options={"frames": FRAMES},
    )  # fmt: skip
    model = build("uhman", {}, Sizes(6500, HASHTAGS, {manifest.name: manifest}, fields=FIELDS))
    assert isinstance(model, Uhman)
    values = torch.randn(POSTS, FRAMES, REGIONS, CHANNELS).half()
    step, products = _step(model, _batch(values)), _products(values)
    with tempfile.TemporaryDirectory() as folder:
        reading = _reading(Path(folder), manifest)
    model.eval()
    torch.set_grad_enabled(False)
    post = _posts(values[:1])
    ready = model.encode(post)
    return {
        "uhman_step": figure(step, "ms", None, "64 posts x 12 frames x 64 regions x 2048"),
        "uhman_matrix_products": figure(products, "ms", None, "of the step, alone, in float32"),
        "uhman_step_to_products": figure(step / products, "ratio", 1.3, "float16 rows included"),
        "uhman_reading": figure(reading, "ms", None, "a batch's own rows, from the page cache"),
        "uhman_reading_to_step": figure(reading / step, "ratio", 1.0, "below 1: no bottleneck"),
        "uhman_catalogue_p99": figure(
            p99_ms(lambda: top_k(model.score_all(ready), 10)), "ms", 5, "a ready post, 669 hashtags"
        ),
        "uhman_regions_to_hashtags_p99": figure(
            p99_ms(lambda: top_k(model.score_all(model.encode(post)), 10)),
            "ms",
            None,
            "from the regions of one post on",
        ),
    }


def _posts(values: torch.Tensor) -> PostBatch:
    count = len(values)
    mask = torch.ones(values.shape[:2], dtype=torch.bool)
    nothing = Ragged(torch.zeros(0, dtype=torch.int64), torch.zeros(count + 1).long())
    return PostBatch(
        torch.randint(6500, (count,)),
        {},
        {"visual-random": torch.ones(count, dtype=torch.bool)},
        torch.full((count,), -1),
        torch.full((count,), NO_TIME),
        nothing,
        torch.stack([torch.randint(width, (count,)) for width in FIELDS], 1),
        {"visual-random": Steps(values, mask)},
    )


def _batch(values: torch.Tensor) -> TrainingBatch:
    count = 3 * len(values)
    return TrainingBatch(
        _posts(values),
        torch.randint(HASHTAGS, (count,)),
        torch.randint(HASHTAGS, (count, 4)),
        torch.arange(count) // 3,
    )


def _step(model: Uhman, batch: TrainingBatch) -> float:
    optimiser = optimiser_of(model, TrainingConfig(optimiser="sgd", learning_rate=0.1))

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        model.loss(batch).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return median_ms(step)


def _products(values: torch.Tensor) -> float:
    """The products of the two layers over all regions, forwards and to their gradients."""
    rows = values.view(-1, CHANNELS).float()
    wide, narrow = torch.randn(32, CHANNELS), torch.randn(32, 32)
    hidden = torch.randn(len(rows), 32)

    def products() -> None:
        rows @ wide.T
        hidden @ narrow.T
        hidden @ narrow
        hidden.T @ hidden
        hidden.T @ rows

    return median_ms(products)


def _reading(folder: Path, manifest: Manifest) -> float:
    path = folder / "values.npy"
    values = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float16, shape=(STORED * FRAMES, REGIONS, CHANNELS)
    )
    values[:] = 0.5
    values.flush()
    offsets = np.arange(STORED + 1, dtype=np.int64) * FRAMES
    stored = np.load(path, mmap_mode="r")
    reader = FeatureReader([Feature(manifest, stored, np.ones(STORED, dtype=bool), offsets)])
    generator = torch.Generator().manual_seed(0)
    return median_ms(lambda: reader.read(torch.randperm(STORED, generator=generator)[:POSTS]))
