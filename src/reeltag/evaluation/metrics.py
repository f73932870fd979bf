"""Ranked hashtags and the true ones in, one number a post out.

For a post with n positives of which hits are among the first k:

    precision@k = hits / k              recall@k = hits / n
    f1@k = 2 P R / (P + R)              accuracy@k = 1 if hits > 0 (GCN-PHR's A@k)
    ndcg@k = Σ_hits 1 / log2(rank + 1) / Σ_{r <= min(n, k)} 1 / log2(r + 1)
    mrr = 1 / rank of the first hit in the whole ranking

Always divided by k and n as they stand: a post with fewer than k candidates or more than
k positives cannot reach 1, for any model alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reeltag.data.ragged import Ragged
from reeltag.models.layers.top import top_k

NAMES = ("precision", "recall", "f1", "accuracy", "ndcg")


def hits_of(ranked: Tensor, positives: Ragged, hashtags: int) -> Tensor:
    """Which of the ranked hashtags (B, k) each post really has: (B, k) boolean.

    Entries of `ranked` outside [0, hashtags) are never hits.
    """
    keys = torch.sort(positives.row_of_value * hashtags + positives.values).values
    rows = torch.arange(len(positives), device=ranked.device).unsqueeze(1)
    inside = (ranked >= 0) & (ranked < hashtags)
    if not len(keys):
        return torch.zeros_like(inside)
    wanted = rows * hashtags + ranked.clamp(0, hashtags - 1)
    place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return inside & (keys[place] == wanted)


def ranking_metrics(hits: Tensor, positives: Tensor, tops: Sequence[int]) -> dict[str, Tensor]:
    """Metrics of each post from its `hits` (B, K) and its count of positives (B,).

    Returns "precision@5" and so on for each of `tops` (at most K or the catalogue's end).
    """
    hits = hits.double()
    count = positives.double()
    gains = hits / torch.log2(torch.arange(hits.shape[1], device=hits.device).double() + 2)
    longest = max(tops)
    ideal = torch.cumsum(1 / torch.log2(torch.arange(longest, device=hits.device).double() + 2), 0)
    out: dict[str, Tensor] = {}
    for k in tops:
        found = hits[:, :k].sum(1)
        precision, recall = found / k, found / count.clamp(min=1)
        best = ideal[positives.clamp(min=1, max=k) - 1]
        out[f"precision@{k}"] = precision
        out[f"recall@{k}"] = recall
        out[f"f1@{k}"] = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
        out[f"accuracy@{k}"] = (found > 0).double()
        out[f"ndcg@{k}"] = gains[:, :k].sum(1) / best
    return out


def judge_scores(scores: Tensor, positives: Ragged, metric: str) -> Tensor:
    """One metric of each post, "recall@10" say, from its scores of the catalogue (B, H)."""
    k = int(metric.partition("@")[2])
    hits = hits_of(top_k(scores, k), positives, scores.shape[1])
    return ranking_metrics(hits, positives.lengths, (k,))[metric]


def first_positive(scores: Tensor, positives: Ragged) -> Tensor:
    """Column (B,) of each row's best-ranked positive; rows need at least one.

    Ties go to the lower column, and what is no number is -inf, as in every ranking here.
    """
    padded = positives.padded(fill=-1)
    candidates = padded.clamp(min=0)
    own = scores.gather(1, candidates)
    values = own.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    values = values.masked_fill(padded < 0, -torch.inf)
    best = values.max(1, keepdim=True).values
    tied = (values == best) & (padded >= 0)
    return candidates.masked_fill(~tied, torch.iinfo(torch.int64).max).min(1).values
