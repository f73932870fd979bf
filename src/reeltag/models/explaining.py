"""What models tell of their own scores: what each part of them added, and the facts behind it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.models.contract import Encoded, Model

Facts = dict[str, Any]
"""Numbers and ids (of users, hashtags, words; positions of training posts); {}: nothing to say."""
NAMED = 3
"""Posts, words or hashtags that facts name at most, those that say most."""


class Explaining(Model):
    """A model that can say which of the training posts' facts a score rests on."""

    @abstractmethod
    def facts(self, posts: PostBatch, encoded: Encoded, hashtags: Tensor) -> list[Facts]:
        """Why one post, also as `encode` gives it, has its scores of `hashtags` (k,): k of them."""


@dataclass(frozen=True)
class Contributions:
    """What decided the rank of k hashtags of B posts, taken apart.

    groups: G names, each once; values (B, k, G) what each group added, below 0 what it took
    off; base (B, k): what all hashtags start from. base + the sum of values is the raw score.
    """

    groups: tuple[str, ...]
    values: Tensor
    base: Tensor


class Contributing(Model):
    """A model whose score is a sum over groups of what it looks at."""

    @abstractmethod
    def contributions(self, encoded: Encoded, hashtags: Tensor) -> Contributions:
        """Of the scores of each post's `hashtags` (B, k)."""

    @abstractmethod
    def facts_by_group(
        self,
        posts: PostBatch,
        encoded: Encoded,
        hashtags: Tensor,
        groups: Collection[str] | None = None,
    ) -> dict[str, list[Facts]]:
        """The facts (k) of one post's `hashtags` (k,) behind the groups that have any.

        groups: those that are asked about; default all.
        """
