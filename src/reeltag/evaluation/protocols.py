"""The four ways a ranking is judged: a model and posts in, metric values a post out.

    full                every hashtag of the training vocabulary is ranked (the headline)
    sampled(1000)       the post's hashtags among 1,000 drawn ones (GCN-PHR §4.1)
    leave-one-out(100)  each hashtag of a post alone among 100 drawn ones (LOGO §4)
    replay              as full, in order of time; the model observes each post once judged

Posts without a positive in the training vocabulary are skipped and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import Corpus, Posts
from reeltag.data.negatives import NegativeSampler
from reeltag.data.ragged import Ragged
from reeltag.errors import ConfigError, DatasetError
from reeltag.evaluation.abreast import abreast
from reeltag.evaluation.metrics import first_positive, hits_of, ranking_metrics
from reeltag.evaluation.ranking import DEFAULT_BUDGET, block_size, blocks_of
from reeltag.evaluation.replay import observer_of, replayed
from reeltag.models.contract import Model
from reeltag.models.layers.top import rank_of, top_k
from reeltag.progress import track
from reeltag.runtime import generator_of
from reeltag.together import count, gathered, number

Protocol = Literal["full", "sampled", "leave-one-out", "replay"]
SAMPLED_NEGATIVES = {"sampled": 1000, "leave-one-out": 100}
SAMPLED_BLOCK = 256
"""Posts whose candidates are drawn and scored at once."""


@dataclass(frozen=True)
class Judged:
    """What a protocol found, on the CPU.

    posts (n,) positions of the judged posts (one entry an interaction in leave-one-out);
    ranked (n, K) hashtags, best first, -1 beyond the candidates; hits (n, K);
    positives: the hashtags each entry was judged on; values: metric name to (n,).
    """

    posts: Tensor
    ranked: Tensor
    hits: Tensor
    positives: Ragged
    values: dict[str, Tensor]
    skipped: int


def parse_protocol(name: str) -> Protocol:
    """Check a protocol's name. Raises `ConfigError` listing the valid ones."""
    if name not in get_args(Protocol):
        raise ConfigError(
            f"Got protocol {name!r}, expected one of {', '.join(get_args(Protocol))}."
        )
    return name  # type: ignore[return-value]


@torch.no_grad()
def judge(
    model: Model,
    corpus: Corpus,
    posts: Posts,
    protocol: Protocol = "full",
    tops: Sequence[int] = (5, 10),
    seed: int = 0,
    budget: int = DEFAULT_BUDGET,
) -> Judged:
    """Rank and judge `posts`.

    Args:
        tops: the k of the metrics.
        seed: of the drawn hashtags; equal seeds give every model the same ones.
        budget: bytes the scores of one block may take.

    Processes that work together judge a part of the blocks each, all know the outcome.

    In `replay` a copy of the model observes, and a model that cannot is judged as in `full`.

    Raises `DatasetError` where no post has a hashtag of the training vocabulary.
    """
    model.eval()
    judged = (posts.hashtags.lengths > 0).nonzero().squeeze(1)
    skipped = len(posts) - len(judged)
    if not len(judged):
        raise DatasetError(
            f"None of the {len(posts)} posts has a hashtag of the training vocabulary; "
            "nothing can be judged."
        )
    kept = posts.select(judged)
    tasks = _tasks(kept, protocol)
    drawing = protocol in SAMPLED_NEGATIVES
    sampler = NegativeSampler(kept.hashtags, len(corpus.hashtags)) if drawing else None
    observer = observer_of(model) if protocol == "replay" else None
    # Drawn hashtags must not depend on the model, so sampled blocks have one fixed size.
    size = block_size(model, budget) if sampler is None else SAMPLED_BLOCK
    together = count() if protocol != "replay" else 1
    threads = _threads(model) if observer is None else 1
    if sampler is None:
        size = min(size, -(-len(tasks.posts) // (together * threads)))
    # Too few blocks to give one to each: every process judges all.
    together = together if len(tasks.posts) > (together - 1) * size else 1
    own = number() if together > 1 else 0
    blocks = blocks_of(model, corpus, tasks.posts, size, own, together)
    if observer is not None:
        model, blocks = observer, replayed(observer, corpus, posts, judged)
    blocks_done: list[tuple[Tensor, ...]] = []

    @torch.no_grad()
    def judged_block(block: tuple[Tensor, PostBatch]) -> tuple[Tensor, ...]:
        index, batch = block
        encoded = model.encode(batch)
        targets = tasks.positives.select(index).to(model.device)
        if sampler is None:
            top, rank = _rank_all(model.score_all(encoded), targets, max(tops))
        else:
            generator = generator_of(seed, protocol, int(index[0]))
            owners = tasks.owner[index]
            drawn = sampler.draw_distinct(owners, SAMPLED_NEGATIVES[protocol], generator)
            candidates = torch.cat([targets.padded(), drawn.to(model.device)], 1)
            top, rank = _rank_some(model, encoded, candidates, targets, max(tops))
        return index, top.cpu(), hits_of(top, targets, len(corpus.hashtags)).cpu(), rank.cpu()

    with track(f"judging {model.name}", len(tasks.posts) // together) as progress:
        for done in abreast(judged_block, blocks, threads):
            blocks_done.append(done)
            progress.advance(len(done[0]))
    found = [torch.cat(parts) for parts in zip(*blocks_done, strict=True)]
    if together > 1:
        found = [torch.cat(gathered(part)) for part in found]
    at, best, hit, rank_of_first = found
    order = torch.argsort(at)
    all_hits = hit[order]
    values = ranking_metrics(all_hits, tasks.positives.lengths, tops)
    values["mrr"] = 1 / rank_of_first[order].double()
    return Judged(judged[tasks.owner], best[order], all_hits, tasks.positives, values, skipped)


def _threads(model: Model) -> int:
    """How many threads score blocks of their own."""
    return torch.get_num_threads() if model.reentrant and model.device.type == "cpu" else 1


@dataclass(frozen=True)
class _Tasks:
    """What is ranked: one entry a post, or one an interaction."""

    posts: Posts
    owner: Tensor
    positives: Ragged


def _tasks(posts: Posts, protocol: Protocol) -> _Tasks:
    if protocol != "leave-one-out":
        return _Tasks(posts, torch.arange(len(posts)), posts.hashtags)
    owner = posts.hashtags.row_of_value
    one_each = Ragged(posts.hashtags.values, torch.arange(len(owner) + 1))
    return _Tasks(posts.select(owner), owner, one_each)


def _rank_all(scores: Tensor, positives: Ragged, k: int) -> tuple[Tensor, Tensor]:
    top = top_k(scores, k)
    hits = hits_of(top, positives, scores.shape[1])
    rank = hits.int().argmax(1) + 1
    rows = (~hits.any(1)).nonzero().squeeze(1)
    if len(rows):  # the first hit lies beyond the top k: count what is ranked before it
        below = scores[rows]
        rank[rows] = rank_of(below, first_positive(below, positives.select(rows)))
    return top, rank


def _rank_some(
    model: Model, encoded: dict[str, Tensor], candidates: Tensor, positives: Ragged, k: int
) -> tuple[Tensor, Tensor]:
    # Candidates in ascending order of id, so that ties resolve as in the full ranking.
    missing = candidates < 0
    order = torch.argsort(candidates.masked_fill(missing, model.sizes.hashtags), dim=1)
    candidates, missing = candidates.gather(1, order), missing.gather(1, order)
    scores = model.score_pairs(encoded, candidates.clamp(min=0))
    scores = scores.nan_to_num(nan=-torch.inf).masked_fill(missing, -torch.inf)
    places = top_k(scores, k)
    ranked = candidates.gather(1, places).masked_fill(missing.gather(1, places), -1)
    own = hits_of(candidates, positives, model.sizes.hashtags)
    best = scores.masked_fill(~own, -torch.inf).max(1, keepdim=True).values
    first = (own & (scores == best)).int().argmax(1)
    return ranked, rank_of(scores, first)
