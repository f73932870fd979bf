"""Judged posts in; the same judgement of some posts or of some hashtags out.

    new to the user     hashtags that the post's user has not used before
    by popularity       hashtags by their training uses
    by history          posts by how many training posts their user has
    by caption          posts whose caption a training post has too, and others

Of hashtags, a post's values are those over its hashtags of the kind alone, in the ranking of
the whole catalogue; of posts, its values are the ones of the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from reeltag.data.corpus import Corpus, Posts
from reeltag.data.ragged import Ragged
from reeltag.evaluation.metrics import hits_of, ranking_metrics
from reeltag.evaluation.protocols import Judged

POPULAR, UNPOPULAR = 27, 10
"""LOGO §4: popular hashtags have more than 27 training uses, unpopular ones fewer than 10."""
HISTORIES = {"0": 0, "1-4": 1, "5-14": 5, "15+": 15}
"""The least training posts of each group of users."""
_BLOCK = 1_000_000
"""Captions that are compared at once."""


@dataclass(frozen=True)
class Slice:
    """Metrics over a part of what was judged.

    values: recall and NDCG at each k, of every post that takes part; uses: how many
    hashtags these posts were judged on.
    """

    values: dict[str, Tensor]
    uses: int

    def means(self) -> dict[str, float]:
        """Means over posts, 0 where there is none; how many posts and uses they are of."""
        posts = len(next(iter(self.values.values())))
        means = {name: float(v.mean()) if posts else 0.0 for name, v in self.values.items()}
        return {**means, "posts": posts, "uses": self.uses}


def of_hashtags(judged: Judged, chosen: Tensor, tops: Sequence[int], hashtags: int) -> Slice:
    """The slice of some of the positives (m,) of `judged`, which ranked H = `hashtags`."""
    rows = judged.positives.row_of_value[chosen]
    some = Ragged.from_pairs(rows, judged.positives.values[chosen], len(judged.positives))
    hits = hits_of(judged.ranked, some, hashtags)
    there = some.lengths > 0
    values = ranking_metrics(hits[there], some.lengths[there], tops)
    return Slice({name: values[name] for name in _shown(tops)}, int(chosen.sum()))


def of_posts(judged: Judged, chosen: Tensor, tops: Sequence[int]) -> Slice:
    """The slice of some of the judged entries (n,)."""
    values = {name: judged.values[name][chosen] for name in _shown(tops)}
    return Slice(values, int(judged.positives.lengths[chosen].sum()))


def _shown(tops: Sequence[int]) -> list[str]:
    return [name for k in sorted(tops) for name in (f"recall@{k}", f"ndcg@{k}")]


def new_to_user(corpus: Corpus, posts: Posts, judged: Judged, on: str) -> Tensor:
    """Which judged positives (m,) the post's user has not used before.

    Before is training where the validation part is judged, and training and validation where
    the test part is: a model may be fitted again on both before the test. A post of nobody,
    or of a user those parts do not know, has only new ones.
    """
    H = len(corpus.hashtags)
    users = _users(corpus)
    known = [corpus.training.posts, *([corpus.part("validation")] if on == "test" else [])]
    judging = users[posts.rows][judged.posts][judged.positives.row_of_value]
    asked = torch.zeros(int(users.max()) + 1, dtype=torch.bool).index_fill(0, judging, True)
    seen = []
    for some in known:
        of = users[some.rows]
        mine = some.select(asked[of].nonzero().squeeze(1))
        seen.append(users[mine.rows][mine.hashtags.row_of_value] * H + mine.hashtags.values)
    return (judging == 0) | ~torch.isin(judging * H + judged.positives.values, torch.cat(seen))


def popularity_buckets(counts: NDArray[np.int64]) -> dict[str, Tensor]:
    """Hashtags (H,) by training uses: popular (> 27), relative (10-27), unpopular (1-9).

    Where there are hashtags without any use, those are `unseen`.
    """
    uses = torch.from_numpy(counts)
    popular, unseen = uses > POPULAR, uses == 0
    unpopular = (uses < UNPOPULAR) & ~unseen
    relative = (uses >= UNPOPULAR) & ~popular
    buckets = {"popular": popular, "relative": relative, "unpopular": unpopular}
    return {**buckets, "unseen": unseen} if unseen.any() else buckets


def history_groups(corpus: Corpus, posts: Posts) -> dict[str, Tensor]:
    """Posts (n,) by how many training posts their user has; those of nobody have none."""
    users = _users(corpus)
    counts = torch.bincount(users[corpus.training.posts.rows], minlength=int(users.max()) + 1)
    counts[0] = 0
    least = torch.tensor(list(HISTORIES.values()))
    group = torch.searchsorted(least, counts[users[posts.rows]], right=True) - 1
    return {name: group == number for number, name in enumerate(HISTORIES)}


def _users(corpus: Corpus) -> Tensor:
    """A number from 1 for the user of every post (n,), 0 for nobody.

    By name, as the vocabulary has training's users alone: validation may know others.
    """
    names = corpus.columns("user")["user"].rank("dense").cast(pl.Int64).fill_null(0)
    return torch.from_numpy(names.to_numpy().copy())


def caption_groups(corpus: Corpus, posts: Posts) -> dict[str, Tensor]:
    """Posts (n,) by whether a training post has the same caption: repeated, new.

    Captions are compared without hashtags, in lower case, white space as one space. An empty
    one is always new.
    """
    captions = corpus.columns("caption")["caption"]
    own, train = _plain(captions.gather(posts.rows.numpy())), corpus.split.rows("train")
    wanted = own.unique()
    found = wanted.clear()
    for start in range(0, len(train), _BLOCK):
        said = _plain(captions.gather(train[start : start + _BLOCK])).unique()
        found = found.append(wanted.filter(wanted.is_in(said.implode())))
    repeated = torch.from_numpy((own.is_in(found.implode()) & (own != "")).to_numpy().copy())
    return {"repeated": repeated, "new": ~repeated}


def _plain(captions: pl.Series) -> pl.Series:
    return captions.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
