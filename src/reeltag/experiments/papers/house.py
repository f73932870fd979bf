"""The house model: what its parts are worth, and what its chances are worth.

scorers       without each of its scorers, and without refitting
modalities    with each combination of what posts are made of
joined        with the three papers' models as further scorers
calibration   how often hashtags are right that it gives a chance
"""

from __future__ import annotations

from reeltag.experiments.papers.procedure import Procedure
from reeltag.models.house_config import SCORERS

_COMBINATIONS = (
    "visual",
    "acoustic",
    "textual",
    "acoustic,textual",
    "visual,textual",
    "visual,acoustic",
    "visual,acoustic,textual",
)
_JOINING = ("gcn-phr", "uhman", "logo")

PROCEDURES = (
    Procedure(
        "house:scorers",
        "The house model without each of its scorers",
        kind="variants",
        models=("reeltag",),
        seeds=1,
        variants={
            "all": {},
            **{f"without {name}": {"scorers": f"-{name}"} for name in SCORERS},
            "without refitting": {"refit": False},
        },
        rows="variant",
        lead=(
            "A scorer that others can stand in for is not missed much when it alone is left out. "
            "One that takes no part in this dataset is not missed at all.",
        ),
    ),
    Procedure(
        "house:modalities",
        "The house model by what it sees of posts",
        kind="variants",
        models=("reeltag",),
        seeds=1,
        variants={
            "no features": {"features": []},
            **{names: {"features": names} for names in _COMBINATIONS},
        },
        rows="features",
        lead=("Words of the caption are no feature: they are read in every row.",),
    ),
    Procedure(
        "house:joined",
        "The house model with papers' models as scorers",
        kind="variants",
        models=("reeltag",),
        seeds=1,
        variants={
            "alone": {},
            **{f"with {name}": {"scorers": f"+{name}"} for name in _JOINING},
            "with all three": {"scorers": ",".join(f"+{name}" for name in _JOINING)},
        },
        rows="variant",
    ),
    Procedure(
        "house:calibration",
        "How often the house model's hashtags are right",
        kind="calibration",
        models=("reeltag",),
        tops=(10,),
        seeds=1,
    ),
)
