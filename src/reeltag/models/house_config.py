"""Who takes part in the house model, and its settings."""

from __future__ import annotations

from pydantic import Field, field_validator

from reeltag.models.bll import Bll
from reeltag.models.caption_words import CaptionWords
from reeltag.models.content_knn import ContentKnn
from reeltag.models.context import Context
from reeltag.models.contract import ModelConfig
from reeltag.models.ease import Ease
from reeltag.models.joining import names_in
from reeltag.models.observing import Observing
from reeltag.models.own_knn import OwnKnn
from reeltag.models.popularity import Popularity
from reeltag.models.related import Related
from reeltag.models.ridge import Ridge
from reeltag.models.tag_meaning import TagMeaning
from reeltag.models.tag_names import TagNames
from reeltag.models.text_knn import TextKnn
from reeltag.models.trained import TRAINED
from reeltag.models.user_history import UserHistory

SCORERS: dict[str, type[Observing]] = {
    scorer.name: scorer
    for scorer in (
        Popularity, UserHistory, Bll, OwnKnn, Ease, Ridge, TextKnn, ContentKnn, CaptionWords,
        TagNames, TagMeaning, Related, Context,
    )
}  # fmt: skip
"""Who takes part, by registered name; trained models (`TRAINED`) may join them."""


class HouseConfig(ModelConfig):
    """Settings of `House`."""

    scorers: tuple[str, ...] = tuple(SCORERS)
    """Who scores, with their own default settings. One whose inputs the data lacks is left out,
    or whose extra is not installed. Trained models may join, after the scorers or among them;
    `+gcn-phr,-ease`: these scorers, one more and one less."""
    refit: bool = True
    """Whether scorers look at the validation posts too, once the trees have learned from them."""
    candidates: int = Field(150, ge=1)
    """Hashtags of a post that the trees look at."""
    finalists: int = Field(40, ge=1)
    """Candidates that all trees put in order: the best by the first `early` trees."""
    early: int = Field(30, ge=1)
    """Trees that choose the finalists."""
    rounds: int = Field(300, ge=1)
    """Trees."""
    leaves: int = Field(15, ge=2)
    """Leaves of a tree."""
    learning_rate: float = Field(0.03, gt=0)
    """What each tree adds."""
    least_rows: int = Field(50, ge=1)
    """Candidates in a leaf at least."""
    seed: int = Field(0, ge=0)
    """Of the rows and columns that each tree is shown, and of what is rehearsed."""

    @field_validator("scorers", mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        return names_in(value, usual=list(SCORERS), others=list(TRAINED))
