"""ReelTag: personalised hashtag recommendation for micro-videos, clip in, ranked hashtags out.

from reeltag import Dataset, Recommender

dataset = Dataset.open("news")
recommender = Recommender.load("runs/gcn-phr")
for tag in recommender.recommend(clip="band.mp4", user="ann", caption="live tonight", k=10):
    print(tag.hashtag, tag.score, tag.reasons)
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Before any import of torch: OpenMP reads it when it is loaded. Idle threads then sleep;
# spinning ones stall when cores are shared.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from reeltag.data.dataset import Dataset
    from reeltag.recommend import Recommender

__version__ = "0.1.0"
__all__ = ["Dataset", "Recommender", "__version__", "available_models"]


def available_models() -> list[str]:
    """Names that `reeltag train --model` takes."""
    from reeltag.models.registry import REGISTRY

    return list(REGISTRY)


def __getattr__(name: str) -> Any:
    # Late, so that `import reeltag` stays light where only the version is wanted.
    if name == "Dataset":
        from reeltag.data.dataset import Dataset

        return Dataset
    if name == "Recommender":
        from reeltag.recommend import Recommender

        return Recommender
    raise AttributeError(f"module 'reeltag' has no attribute {name!r}")
