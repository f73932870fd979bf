"""What clients may say, checked: text in, records out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from reeltag.data.feature import Manifest
from reeltag.errors import InputError
from reeltag.recommend.posts import seconds_of
from reeltag.serving.settings import ServeSettings
from reeltag.serving.store import check_text

MOST_K = 1000
MOST_POSTS = 256
MOST_STEPS = 1024
"""Frames, words or seconds of one given feature ..."""
MOST_NUMBERS = 1 << 20
"""... and numbers in all of them: posts are scored together, each as long as the longest."""
_ID_CHARS = 256
_LONGEST_TIME = 2**40
"""Seconds since 1970, about 35,000 years: beyond it is no time of a post."""


def _sound(text: str) -> str:
    try:
        check_text("text", text)
    except InputError as fault:
        raise ValueError(str(fault)) from None
    return text


def _named(text: str | None) -> str | None:
    return text or None  # an empty field of a form says nothing


def _seconds(moment: Any) -> Any:
    if moment is None or moment == "":
        return None
    if isinstance(moment, str):
        try:
            moment = seconds_of(moment[:64])
        except InputError as fault:
            raise ValueError(str(fault)) from None
    if isinstance(moment, int) and abs(moment) > _LONGEST_TIME:
        raise ValueError(f"Got a time beyond {_LONGEST_TIME}, expected seconds since 1970.")
    return moment


Text = Annotated[str, AfterValidator(_sound)]
Name = Annotated[str, Field(max_length=_ID_CHARS), AfterValidator(_sound)]
Id = Annotated[Name | None, AfterValidator(_named)]
Moment = Annotated[
    int | None,
    BeforeValidator(_seconds),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}),
]
Values = dict[str, list[Any] | None]
"""Features by name, as (nested) lists of numbers; null: the modality is missing."""


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Post(_Said):
    user: Id = Field(default=None, description="Who posts; unknown or nobody works too.")
    caption: Text | None = Field(default=None, description="Its text.")
    music: Id = Field(default=None, description="Its music, as the training data writes it.")
    place: Id = Field(default=None, description="Its place, likewise.")
    at: Moment = Field(
        default=None, description="When: seconds since 1970, or such as 2024-05-01T18:30; now."
    )
    values: Values | None = Field(
        default=None, description="Its features by name, where they are known already."
    )


class RecommendIn(_Post):
    """A post to recommend hashtags for."""

    k: int = Field(default=10, ge=1, le=MOST_K, description="How many hashtags.")
    explain: bool = Field(default=True, description="Add reasons.")
    filmstrip: bool = Field(default=False, description="Add frames of the clip.")
    post: Id = Field(default=None, description="A stored post, whose features are taken.")


class BatchIn(_Said):
    """Many posts at once."""

    posts: list[RecommendIn] = Field(min_length=1, max_length=MOST_POSTS)


class PostIn(_Post):
    """A post as it was published."""

    hashtags: list[Text] = Field(default=[], description="Those it finally has.")
    recommendation_id: Id = Field(
        default=None,
        description="What it came from: whatever is not said here is taken from there.",
    )
    post: Id = Field(
        default=None, description="Its id; give one, so that sending it again changes nothing."
    )


class ReloadIn(_Said):
    """A run to serve."""

    run: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_sound)]


class ErrorDetail(BaseModel):
    """What is wrong: a kind for programs, a sentence for people."""

    kind: str
    message: str


class ErrorOut(BaseModel):
    """Any refusal."""

    error: ErrorDetail


Said = TypeVar("Said", bound=_Post)


def of_form(kind: type[Said], fields: Mapping[str, str]) -> Said:
    """What the fields of a form say; hashtags are apart by white space or commas.

    Raises pydantic's `ValidationError`.
    """
    told: dict[str, Any] = dict(fields)
    if isinstance(told.get("hashtags"), str):
        told["hashtags"] = told["hashtags"].replace(",", " ").split()
    return kind.model_validate(told)


def check_lengths(said: _Post, settings: ServeSettings) -> None:
    """Raises `InputError` where a caption is too long, or hashtags are too many."""
    chars, most = len(said.caption or ""), settings.caption_chars
    if chars > most:
        raise InputError(f"Got a caption of {chars} characters, expected at most {most}.")
    if isinstance(said, PostIn) and len(said.hashtags) > settings.most_hashtags:
        raise InputError(
            f"Got {len(said.hashtags)} hashtags, expected at most {settings.most_hashtags}."
        )


def arrays(
    values: Mapping[str, list[Any] | None], manifests: Mapping[str, Manifest]
) -> dict[str, NDArray[Any] | None]:
    """Features as arrays of their manifests' types.

    Raises `InputError` for one that the run does not read, is ragged, has too much in it, or holds
    what is no finite number, or no whole one where there are ids.
    """
    made: dict[str, NDArray[Any] | None] = {}
    for name, numbers in values.items():
        manifest = manifests.get(name)
        if manifest is None:
            raise InputError(
                f"Got feature {name[:80]!r}, expected some of: {', '.join(manifests) or 'none'}."
            )
        if numbers is None:
            made[name] = None
            continue
        try:
            array = np.asarray(numbers, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"Feature {name!r} is not a list of numbers, equally long.") from None
        if array.size > MOST_NUMBERS or (manifest.kind != "vector" and len(array) > MOST_STEPS):
            raise InputError(
                f"Feature {name!r}: got shape {array.shape}, expected at most {MOST_STEPS} steps "
                f"and {MOST_NUMBERS} numbers."
            )
        with np.errstate(over="ignore", invalid="ignore"):
            value = array.astype(manifest.dtype)
        if not (np.isfinite(array).all() and np.isfinite(value).all()):
            raise InputError(f"Feature {name!r} holds NaN or too large a number.")
        if value.dtype.kind in "iu" and (value != array).any():
            raise InputError(f"Feature {name!r} holds ids: got a number that is none.")
        made[name] = value
    return made
