"""Metrics against ranx, ranking against a naive stable sort, ties included."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reeltag.data.ragged import Ragged
from reeltag.evaluation.metrics import first_positive, hits_of, ranking_metrics
from reeltag.models.layers.top import rank_of, top_k

H = 30


def case(seed: int, rows: int = 40) -> tuple[torch.Tensor, Ragged]:
    """Random scores without ties and one to five positives a row."""
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.permuted(np.tile(np.arange(H), (rows, 1)), axis=1)).float()
    chosen = [rng.choice(H, size=rng.integers(1, 6), replace=False) for _ in range(rows)]
    owner = torch.from_numpy(np.repeat(np.arange(rows), [len(c) for c in chosen]))
    return scores, Ragged.from_pairs(owner, torch.from_numpy(np.concatenate(chosen)), rows)


@pytest.mark.filterwarnings("ignore")  # ranx's own imports warn
def test_metrics_against_ranx() -> None:
    from ranx import Qrels, Run, evaluate

    scores, positives = case(0)
    hits = hits_of(top_k(scores, 10), positives, H)
    ours = ranking_metrics(hits, positives.lengths, (5, 10))
    bounds = positives.offsets.tolist()
    qrels = Qrels(
        {
            f"q{n}": {f"d{t}": 1 for t in positives.values[bounds[n] : bounds[n + 1]].tolist()}
            for n in range(len(positives))
        }
    )
    run = Run(
        {f"q{n}": {f"d{t}": float(s) for t, s in enumerate(row)} for n, row in enumerate(scores)}
    )
    names = [f"{m}@{k}" for m in ("precision", "recall", "f1", "hit_rate", "ndcg") for k in (5, 10)]
    theirs = evaluate(qrels, run, [*names, "mrr"])
    for name in names:
        mine = ours[name.replace("hit_rate", "accuracy")].mean()
        # ranx's F1 is the mean of F1s as ours is.
        assert math.isclose(float(mine), theirs[name], rel_tol=1e-9), name
    ranks = rank_of(scores, first_positive(scores, positives))
    assert math.isclose(float((1 / ranks.double()).mean()), theirs["mrr"], rel_tol=1e-9)


tied = st.lists(
    st.lists(st.sampled_from([0.0, 1.0, 2.0, -1.0, math.nan]), min_size=8, max_size=8),
    min_size=1,
    max_size=5,
)


@given(tied, st.integers(1, 10))
def test_top_k_is_a_stable_sort(rows: list[list[float]], k: int) -> None:
    found = top_k(torch.tensor(rows), k).tolist()
    for row, mine in zip(rows, found, strict=True):
        key = [-math.inf if math.isnan(s) else s for s in row]
        assert mine == sorted(range(8), key=lambda j: (-key[j], j))[:k]


@given(tied)
@settings(max_examples=50)
def test_rank_of_counts_ties_by_column(rows: list[list[float]]) -> None:
    scores = torch.tensor(rows).nan_to_num(nan=-5.0)
    for column in range(8):
        ranks = rank_of(scores, torch.full((len(rows),), column)).tolist()
        for row, rank in zip(scores.tolist(), ranks, strict=True):
            order = sorted(range(8), key=lambda j: (-row[j], j))
            assert rank == order.index(column) + 1


def test_first_positive_breaks_ties_by_column() -> None:
    positives = Ragged(torch.tensor([5, 2, 1]), torch.tensor([0, 2, 3]))
    scores = torch.zeros(2, 8)
    assert first_positive(scores, positives).tolist() == [2, 1]
    scores[0, 5] = 1
    assert first_positive(scores, positives).tolist() == [5, 1]


def test_hits_outside_the_catalogue_never_count() -> None:
    positives = Ragged(torch.tensor([0, 29]), torch.tensor([0, 1, 2]))
    hits = hits_of(torch.tensor([[-1, 0], [29, -1]]), positives, H)
    assert hits.tolist() == [[False, True], [True, False]]
    none = Ragged(torch.zeros(0, dtype=torch.int64), torch.tensor([0, 0]))
    assert not hits_of(torch.tensor([[1, 2]]), none, H).any()
