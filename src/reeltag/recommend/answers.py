"""What a recommender is asked and what it answers, as the commands and the service print it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reeltag.features.single import Extracted
from reeltag.recommend.look import Look
from reeltag.recommend.posts import Circumstances
from reeltag.recommend.reasons import Reason


@dataclass(frozen=True)
class Question:
    """Which hashtags are right for one post, whose features are ready, by one user?"""

    user: str | None
    extracted: Extracted
    text: str
    """The caption without hashtags."""
    about: Circumstances
    k: int = 10
    explain: bool = True
    profile: Mapping[str, Any] | None = None
    """What is known about the user: each field takes the place of what the run knows of it."""
    seconds: float = 0.0
    """What was spent on the post before."""


@dataclass(frozen=True)
class Recommendation:
    """One recommended hashtag, best first by `rank`."""

    rank: int
    hashtag: str
    score: float
    reasons: list[Reason] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As the contract prints it."""
        return {
            "rank": self.rank,
            "hashtag": self.hashtag,
            "score": self.score,
            "reasons": [reason.as_json() for reason in self.reasons],
        }


@dataclass(frozen=True)
class Answer:
    """What `reeltag recommend` prints, with the frames it looked at (n, H, W, 3) or None."""

    user: str | None
    known_user: bool
    hashtags: list[Recommendation]
    warnings: list[str]
    timing_ms: dict[str, float]
    frames: NDArray[np.uint8] | None = field(default=None, repr=False)
    look: Look | None = None
    """Where the model looked, if it is one that weighs frames."""

    def as_json(self) -> dict[str, Any]:
        """The contract's object; `attention` is in it where the model has any."""
        return {
            "user": self.user,
            "known_user": self.known_user,
            "hashtags": [tag.as_json() for tag in self.hashtags],
            "warnings": self.warnings,
            "timing_ms": {name: round(value, 3) for name, value in self.timing_ms.items()},
            **({} if self.look is None else {"attention": self.look.as_json()}),
        }
