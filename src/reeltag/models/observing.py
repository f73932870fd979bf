"""Models that take in posts as they are published, without being fitted again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from reeltag.data.batches import PostBatch
from reeltag.data.ragged import Ragged
from reeltag.models.contract import Model


class Observing(Model):
    """A model whose counts, histories and neighbours can grow by a post at once.

    What is counted of an observed post is what `fit` would have counted of it. What `fit`
    solves or measures stays as it was fitted: weights (`Ridge` goes a step on), trees, the idf of
    words and pieces, means and deviations of features. Words and pieces that `fit` has not kept
    stay unknown.

    Observed posts are numbered after the training posts (`PostBatch.own`). A user without posts
    is scored as nobody is. What was observed is stored with the rest of the model (`tensors`);
    the model to load it into is built with the grown `sizes`.
    """

    lasting: ClassVar[tuple[str, ...]] = ()
    """Large buffers that `grow` and `observe` never change: copies of the model may share them."""

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        """Make room for so many new users and for new hashtags, given by their names.

        Their ids follow the ones there are. Nobody has used the hashtags yet.
        """
        sizes = self.sizes
        self.sizes = replace(
            sizes, users=sizes.users + users, hashtags=sizes.hashtags + len(hashtags)
        )

    @abstractmethod
    def observe(self, posts: PostBatch, hashtags: Ragged) -> None:
        """Take in B published posts and the ids of the hashtags each carries.

        Posts are taken in one after the other. Ids of users and hashtags are below those of
        `sizes` (`grow`), or -1 for a post of nobody.
        """
