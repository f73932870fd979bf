"""Posts in order of time in, one at a time; after each was judged, the model observes it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import Corpus, Posts
from reeltag.data.vocabulary import UNKNOWN
from reeltag.models.contract import Model
from reeltag.models.observing import Observing


def observer_of(model: Model) -> Observing | None:
    """A copy that may observe while the model stays as it is; None if it cannot observe."""
    return copy.deepcopy(model) if isinstance(model, Observing) else None


def replayed(
    model: Observing, corpus: Corpus, posts: Posts, judged: Tensor
) -> Iterator[tuple[Tensor, PostBatch]]:
    """Walk `posts` one at a time; `model` observes each when the next one is asked for.

    Yields, of the posts at positions `judged` (n,), the place in `judged` (1,) and the model
    input on the model's device. The others are observed all the same. Posts go in order of
    time, those of equal time or without one in the order of the dataset, posts without a time
    before the others. Users the model does not know get ids of their own; hashtags it does not
    know are not observed, so that the catalogue is that of the other protocols.
    """
    users, strangers = _ids(corpus, posts)
    posts = replace(posts, users=users)
    model.grow(users=strangers)
    place = torch.full((len(posts),), -1)
    place[judged] = torch.arange(len(judged))
    order = torch.argsort(posts.rows, stable=True)
    order = order[torch.argsort(posts.times[order], stable=True)]
    for index in torch.split(order, 1):
        batch = corpus.batch(posts, index).to(model.device)
        if place[index] >= 0:
            yield place[index], batch
        model.observe(batch, posts.hashtags.select(index).to(model.device))


def _ids(corpus: Corpus, posts: Posts) -> tuple[Tensor, int]:
    """Users of posts (n,), strangers numbered after the known ones; how many strangers."""
    names = corpus.dataset.posts["user"].gather(posts.rows.numpy())
    strange = names.filter((posts.users == UNKNOWN).numpy()).drop_nulls().unique()
    grown = corpus.users.grown(strange.sort().to_list())
    return torch.from_numpy(grown.ids_of(names).copy()), len(strange)
