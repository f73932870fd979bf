"""LOGO at the paper's size, on generated posts of the right shape: scoring and training steps.

12 frames x 4096, 6 pieces of sound x 512, 20 words x 300; 10,677 hashtags, layers as wide as
the paper's. Weights are those a model starts with; hashtags and posts have planted topics, each
hashtag its topic's vector and a little of its own. Nothing is trained: the recall of the
shortlist is that of generated scores (docs/models.md has that of trained runs).

The straightforward step reads the sequences again for every (post, hashtag). The time of an
epoch is extrapolated from the steps measured. Whole figures are repeated on CUDA where there
is a device.
"""

from __future__ import annotations

import resource
import time
from dataclasses import replace
from typing import Any

import torch

from benchmarks.measure import figure, median_ms
from reeltag.data.batches import NO_TIME, PostBatch, Steps
from reeltag.data.feature import Manifest
from reeltag.data.ragged import Ragged
from reeltag.models.contract import Sizes, TrainingBatch
from reeltag.models.layers.top import top_k
from reeltag.models.logo import Logo
from reeltag.models.registry import build
from reeltag.runtime import set_threads
from reeltag.training.config import TrainingConfig
from reeltag.training.loop import optimiser_of

HASHTAGS, POSTS, USES, NEGATIVES = 10_677, 128, 3, 6
APART = 16
"""Posts of the step that is compared with pair by pair."""
TRAINING_POSTS, INTERACTIONS = 108_661, 288_000
STEPS = 4
INPUTS = {"visual": (12, 4096), "acoustic": (6, 512), "textual": (20, 300)}
TOPICS, OWN = 100, 0.05
SHORTLIST, OTHERS = 512, (256, 1024)
FITTED, JUDGED = 256, 32

Figures = dict[str, dict[str, Any]]


def main() -> Figures:
    """Scoring exactly and by shortlist, memory, and steps against pair by pair."""
    set_threads()
    figures = {**_scoring("cpu"), **_training("cpu")}
    if torch.cuda.is_available():
        on_device = {**_scoring("cuda"), **_training("cuda")}
        figures |= {f"{name}_cuda": figure for name, figure in on_device.items()}
    return figures


def _scoring(device: str) -> Figures:
    torch.manual_seed(0)
    figures: Figures = {}
    for name in ("logo-a", "logo"):
        model = _model(name, device)
        one, many = _ranking(model, 1, 9), _ranking(model, 8, 3) / 8
        figures |= {
            f"{name}_catalogue": figure(one, "ms", 120, "a post's ten best of 10,677 hashtags"),
            f"{name}_posts": figure(1e3 / many, "posts/s", 30, "whole catalogue", "above"),
        }
    rate = _products(device)
    limit = 1e3 * 2 * _multiplications(model) * HASHTAGS / rate
    note = f"products of the exact scores alone, at the {rate / 1e9:.0f} GFLOP/s measured here"
    share = f"{figures['logo_posts']['value'] * limit / 10:.0f} % of it reached"
    figures["logo_limit"] = figure(1e3 / limit, "posts/s", None, f"{note}; {share}")
    if device == "cpu":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        figures["logo_scoring_memory"] = figure(peak, "GiB", 2, "peak of the process, exact scores")
    return figures | _shortlist(device)


@torch.no_grad()
def _shortlist(device: str) -> Figures:
    """The two-stage option, fitted on posts of the same topics as those it is judged on."""
    model = _model("logo", device, shortlist=SHORTLIST)
    model.shortlist = None
    assert model.guess is not None
    start = time.perf_counter()
    model.guess.fit(torch.cat([model.scored(_posts(32, device)) for _ in range(FITTED // 32)]))
    fitting = time.perf_counter() - start
    posts = _posts(JUDGED, device)
    best = top_k(model.scored(posts), 10)
    recall = {}
    for length in (*OTHERS, SHORTLIST):
        model.shortlist = length
        found = top_k(model.scored(posts), 10)
        recall[length] = float((best.unsqueeze(2) == found.unsqueeze(1)).any(2).double().mean())
    one, many = _ranking(model, 1, 9), _ranking(model, 16, 3) / 16
    others = ", ".join(f"{recall[length]:.3f} with {length}" for length in OTHERS)
    note = (
        f"of the exact ten best of {JUDGED} other posts, {len(best.unique())} hashtags together, "
        f"nothing trained; {others}"
    )
    return {
        "logo_shortlist_fit": figure(fitting, "s", None, f"{FITTED} posts of planted topics"),
        "logo_shortlist_catalogue": figure(one, "ms", 120, f"{SHORTLIST} hashtags scored exactly"),
        "logo_shortlist_posts": figure(1e3 / many, "posts/s", 30, "the same", "above"),
        "logo_shortlist_recall": figure(recall[SHORTLIST], "", 0.99, note, "above"),
    }


def _training(device: str) -> Figures:
    torch.manual_seed(0)
    model = _model("logo", device).train()
    view, network = (_step(model, _batch(POSTS, device), turn) for turn in (0, 1))
    seconds = INTERACTIONS / (POSTS * USES) * (view + network) / 2 / 1e3
    note = (
        f"extrapolated from {STEPS} steps of each kind ({view:.0f} and {network:.0f} ms, reading "
        f"rows not counted) on {POSTS} posts x {USES} hashtags, {1 + NEGATIVES} pairs each, to "
        f"{INTERACTIONS:,} interactions of {TRAINING_POSTS:,} posts"
    )
    few = _batch(APART, device)
    ours, apart = _step(model, few, 1), _step(model, _pair_by_pair(few), 1)
    gain = f"against pair by pair, {APART} posts x {USES} hashtags, step on the NCF"
    return {
        "logo_epoch": figure(seconds / 60, "min", None, note),
        "logo_step_gain": figure(apart / ours, "x", 5, gain, "above"),
    }


def _model(name: str, device: str, **settings: Any) -> Logo:
    manifests = {
        f"{modality}-random": Manifest(
            f"{modality}-random", modality, "random", "sequence", (width,), "float16", "clip"
        )
        for modality, (_, width) in INPUTS.items()
    }
    torch.manual_seed(0)
    model = build(name, settings, Sizes(0, HASHTAGS, manifests))
    assert isinstance(model, Logo)
    with torch.no_grad():
        topics = torch.randn(TOPICS, model.config.dim)[torch.randint(TOPICS, (HASHTAGS,))]
        lengths = 0.8 + 0.4 * torch.rand(HASHTAGS, 1)
        model.hashtag.copy_(topics * lengths + OWN * torch.randn_like(model.hashtag))
    return model.eval().to(device)


def _posts(count: int, device: str) -> PostBatch:
    """Each step shows one of a post's two topics and noise."""
    nothing = Ragged(torch.zeros(0, dtype=torch.int64), torch.zeros(count + 1).long())
    topics = torch.randint(TOPICS, (count, 2))
    steps = {}
    for modality, (length, width) in INPUTS.items():
        looks = torch.randn(TOPICS, width, generator=torch.Generator().manual_seed(width))
        shown = topics.gather(1, torch.randint(2, (count, length)))
        values = looks[shown] + torch.randn(count, length, width)
        steps[f"{modality}-random"] = Steps(
            values.half(), torch.ones(count, length, dtype=torch.bool)
        )
    return PostBatch(
        torch.full((count,), -1),
        {},
        {f"{modality}-random": torch.ones(count, dtype=torch.bool) for modality in INPUTS},
        torch.full((count,), -1),
        torch.full((count,), NO_TIME),
        nothing,
        torch.zeros(count, 0, dtype=torch.int64),
        steps,
    ).to(device)


def _batch(posts: int, device: str) -> TrainingBatch:
    count = posts * USES
    return TrainingBatch(
        _posts(posts, device),
        torch.randint(HASHTAGS, (count,)),
        torch.randint(HASHTAGS, (count, NEGATIVES)),
        torch.arange(count) // USES,
    ).to(device)


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


def _multiplications(model: Logo) -> int:
    """Of the matrix products for one post and hashtag, attention apart."""
    count = len(model.interaction.weight)
    for layer in model.interaction.layers:
        count += layer.weight.numel()  # type: ignore[operator, union-attr]
    for modality, (steps, _) in INPUTS.items():
        tower = model.views[modality].tower
        count += steps * tower.first.out_features  # type: ignore[operator, union-attr]
        for layer in (tower.second, tower.third):  # type: ignore[union-attr]
            count += layer.weight.numel()  # type: ignore[operator, union-attr]
    return count


def _products(device: str) -> float:
    """Operations a second of the largest product of a block, 250 x 500 x 1024."""
    weight, columns = torch.randn(250, 500, device=device), torch.randn(500, 1024, device=device)
    out = torch.empty(250, 1024, device=device)

    def several() -> None:
        for _ in range(20):
            torch.mm(weight, columns, out=out)

    return 20 * 2 * 250 * 500 * 1024 / (median_ms(several, 15) / 1e3)


def _step(model: Logo, batch: TrainingBatch, turn: int) -> float:
    """A step on L_view (0) or on L_network (1)."""
    optimiser = optimiser_of(model, TrainingConfig(learning_rate=1e-3))

    def step() -> None:
        model.load_state_dict({"steps_done": torch.tensor(turn)}, strict=False)
        optimiser.zero_grad(set_to_none=True)
        model.loss(batch).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return median_ms(step, STEPS)


@torch.no_grad()
def _ranking(model: Logo, count: int, times: int) -> float:
    posts = _posts(count, str(model.device))
    return median_ms(lambda: top_k(model.score_all(model.encode(posts)), 10), times)
