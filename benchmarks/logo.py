"""LOGO at the paper's size, on random data of the right shape: scoring and training steps.

12 frames x 4096, 6 pieces of sound x 512, 20 words x 300; 10,677 hashtags, layers as wide as
the paper's. The straightforward step reads the sequences again for every (post, hashtag).
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from reeltag.data.batches import NO_TIME, PostBatch, Steps
from reeltag.data.feature import Manifest
from reeltag.data.ragged import Ragged
from reeltag.evaluation.ranking import top_k
from reeltag.models.contract import Sizes, TrainingBatch
from reeltag.models.logo import Logo
from reeltag.models.registry import build
from reeltag.runtime import set_threads
from reeltag.training.config import TrainingConfig
from reeltag.training.loop import optimiser_of

HASHTAGS, POSTS, USES, NEGATIVES = 10_677, 32, 3, 6
INPUTS = {"visual": (12, 4096), "acoustic": (6, 512), "textual": (20, 300)}


def main() -> dict[str, dict[str, Any]]:
    """One post's whole catalogue, many posts a second, memory, and a step against pair by pair."""
    set_threads()
    torch.manual_seed(0)
    figures: dict[str, dict[str, Any]] = {}
    for name in ("logo", "logo-a"):
        model = _model(name)
        one, many = _scoring(model, 1, 9), _scoring(model, 8, 2) / 8
        figures |= {
            f"{name}_catalogue": _row(one, "ms", 120, "a post's ten best of 10,677 hashtags"),
            f"{name}_posts": _row(1e3 / many, "posts/s", 30, "whole catalogue", least=True),
        }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    figures["logo_scoring_memory"] = _row(peak, "GiB", 2, "peak of the process so far")
    model = _model("logo").train()
    ours, apart = _step(model, _batch()), _step(model, _pair_by_pair(_batch()))
    note = f"{POSTS} posts x {USES} hashtags, {NEGATIVES} negatives each, step on the NCF"
    figures["logo_step"] = _row(ours, "ms", None, note)
    figures["logo_step_gain"] = _row(apart / ours, "x", 5, "against pair by pair", least=True)
    return figures


def _row(
    value: float, unit: str, target: float | None, note: str, least: bool = False
) -> dict[str, Any]:
    ok = target is None or (value >= target if least else value <= target)
    return {"value": round(value, 2), "unit": unit, "target": target, "ok": bool(ok), "note": note}


def _model(name: str) -> Logo:
    manifests = {
        f"{modality}-random": Manifest(
            f"{modality}-random", modality, "random", "sequence", (width,), "float16", "clip"
        )
        for modality, (_, width) in INPUTS.items()
    }
    model = build(name, {}, Sizes(0, HASHTAGS, manifests))
    assert isinstance(model, Logo)
    return model.eval()


def _posts(count: int) -> PostBatch:
    nothing = Ragged(torch.zeros(0, dtype=torch.int64), torch.zeros(count + 1).long())
    return PostBatch(
        torch.full((count,), -1),
        {},
        {f"{modality}-random": torch.ones(count, dtype=torch.bool) for modality in INPUTS},
        torch.full((count,), -1),
        torch.full((count,), NO_TIME),
        nothing,
        torch.zeros(count, 0, dtype=torch.int64),
        {
            f"{modality}-random": Steps(
                torch.randn(count, *shape).half(), torch.ones(count, shape[0], dtype=torch.bool)
            )
            for modality, shape in INPUTS.items()
        },
    )


def _batch() -> TrainingBatch:
    count = POSTS * USES
    return TrainingBatch(
        _posts(POSTS),
        torch.randint(HASHTAGS, (count,)),
        torch.randint(HASHTAGS, (count, NEGATIVES)),
        torch.arange(count) // USES,
    )


def _pair_by_pair(batch: TrainingBatch) -> TrainingBatch:
    """The same pairs with a post of its own for each: the LSTMs run for every one."""
    owner = batch.owner.repeat_interleave(1 + NEGATIVES)
    hashtags = torch.cat([batch.positives.unsqueeze(1), batch.negatives], 1).flatten()
    steps = {
        name: Steps(each.values[owner], each.mask[owner])
        for name, each in batch.posts.steps.items()
    }
    posts = replace(batch.posts, steps=steps)
    return TrainingBatch(posts, hashtags, hashtags.new_zeros(len(hashtags), 0))


def _median(work: Callable[[], object], times: int) -> float:
    """Milliseconds of one call."""
    work()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(1e3 * (time.perf_counter() - start))
    return float(np.median(found))


def _step(model: Logo, batch: TrainingBatch) -> float:
    """A step on L_network."""
    optimiser = optimiser_of(model, TrainingConfig(learning_rate=1e-3))

    def step() -> None:
        model.steps_done.fill_(1)
        optimiser.zero_grad(set_to_none=True)
        model.loss(batch).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return _median(step, 3)


@torch.no_grad()
def _scoring(model: Logo, count: int, times: int) -> float:
    posts = _posts(count)
    return _median(lambda: top_k(model.score_all(model.encode(posts)), 10), times)
