"""Every model by its name: the one list that the command line, tests and docs read."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from reeltag.errors import ConfigError
from reeltag.models.blend import Blend
from reeltag.models.bll import Bll
from reeltag.models.caption_words import CaptionWords
from reeltag.models.co_attention import CoAttention
from reeltag.models.contagnet import ConTagNet
from reeltag.models.content_knn import ContentKnn
from reeltag.models.context import Context
from reeltag.models.contract import Model, ModelConfig, Sizes
from reeltag.models.csmn import Csmn
from reeltag.models.ease import Ease
from reeltag.models.eastern import Eastern
from reeltag.models.gcn_phr import GcnPhr
from reeltag.models.house import House
from reeltag.models.logo import Logo
from reeltag.models.own_knn import OwnKnn
from reeltag.models.popularity import Popularity
from reeltag.models.profile_models import Bilinear, ThreeWay, UserAdditive
from reeltag.models.related import Related
from reeltag.models.ridge import Ridge
from reeltag.models.rsdae import Rsdae
from reeltag.models.tag_meaning import TagMeaning
from reeltag.models.tag_names import TagNames
from reeltag.models.text_knn import TextKnn
from reeltag.models.trumann import Trumann
from reeltag.models.uhman import Uhman
from reeltag.models.user_history import UserHistory
from reeltag.models.ushm import Ushm
from reeltag.models.utm import Utm


@dataclass(frozen=True)
class Entry:
    """A registered name: the class behind it and the settings it presets."""

    model: type[Model]
    source: str
    """Paper or rule it comes from."""
    preset: Mapping[str, Any] = field(default_factory=dict)


REGISTRY: dict[str, Entry] = {
    "gcn-phr": Entry(GcnPhr, "Wei et al., ACM MM 2019"),
    "gcn-phr-i": Entry(GcnPhr, "Wei et al., Variant I: no attention", {"post_attention": False}),
    "gcn-phr-ii": Entry(
        GcnPhr, "Wei et al., Variant II: users do not guide", {"user_guided": False}
    ),
    "gcn-phr-iii": Entry(
        GcnPhr, "Wei et al., Variant III: hashtags do not guide", {"hashtag_guided": False}
    ),
    "uhman": Entry(Uhman, "Liu et al., 2020"),
    "uhman-a": Entry(
        Uhman, "Liu et al., ablation a: mean over regions", {"region_attention": False}
    ),
    "uhman-b": Entry(Uhman, "Liu et al., ablation b: mean over frames", {"frame_attention": False}),
    "logo": Entry(Logo, "Cao et al., KBS 2020"),
    "logo-a": Entry(Logo, "Cao et al., LOGO-A: mean over steps", {"pooling": "mean"}),
    "logo-m": Entry(Logo, "Cao et al., LOGO-M: maximum over steps", {"pooling": "max"}),
    "logo-l": Entry(Logo, "Cao et al., LOGO-L: last step", {"pooling": "last"}),
    "bilinear": Entry(Bilinear, "Lee et al., KDD 2018, as in Liu et al.: BL"),
    "user-additive": Entry(UserAdditive, "Denton et al., KDD 2015, as in Liu et al.: UA"),
    "three-way": Entry(ThreeWay, "Denton et al., KDD 2015, as in Liu et al.: 3WM"),
    "utm": Entry(Utm, "Denton et al., KDD 2015"),
    "ushm": Entry(Ushm, "Veit et al., CVPR 2018"),
    "contagnet": Entry(ConTagNet, "Rawat and Kankanhalli, ACM MM 2016"),
    "csmn": Entry(Csmn, "Park et al., CVPR 2017"),
    "rsdae": Entry(Rsdae, "Wang et al., AAAI 2015, as in Cao et al.: RSDAE"),
    "co-attention": Entry(CoAttention, "Zhang et al., IJCAI 2017, as in Cao et al.: Co-Attention"),
    "trumann": Entry(Trumann, "Zhang et al., ACM MM 2016, as in Cao et al.: TRUMANN"),
    "eastern": Entry(Eastern, "Liu et al., ACM MM 2017, as in Cao et al.: EASTERN"),
    "popularity": Entry(Popularity, "rule: most used overall"),
    "user-history": Entry(UserHistory, "rule: most used by the user, then overall"),
    "content-knn": Entry(ContentKnn, "rule: hashtags of the most similar posts"),
    "bll": Entry(Bll, "Kowald et al., 2017: used often and lately by the user"),
    "caption-words": Entry(CaptionWords, "rule: hashtags that went with the caption's words"),
    "context": Entry(Context, "rule: hashtags that went with the music, the place and the hour"),
    "text-knn": Entry(TextKnn, "rule: hashtags of the posts with the most similar captions"),
    "own-knn": Entry(OwnKnn, "rule: hashtags of the user's own most similar posts"),
    "tag-names": Entry(TagNames, "rule: hashtags whose names the caption spells"),
    "tag-meaning": Entry(TagMeaning, "rule: hashtags whose names and posts mean the same"),
    "related": Entry(Related, "rule: used by the user, on similar captions, and what goes with it"),
    "ease": Entry(Ease, "Steck, WWW 2019: EASE, over users' hashtags"),
    "ridge": Entry(Ridge, "Saunders et al., ICML 1998: kernel ridge, of caption, user and content"),
    "blend": Entry(Blend, "rule: user history, similar posts and caption words, weighted"),
    "reeltag": Entry(House, "the house model: a stack of the scorers above"),
}


def entry_of(name: str) -> Entry:
    """The entry named `name`. Raises `ConfigError` listing the valid names."""
    if name not in REGISTRY:
        near = difflib.get_close_matches(name, REGISTRY, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(f"Got model {name!r}, expected one of {', '.join(REGISTRY)}.{hint}")
    return REGISTRY[name]


def config_of(name: str, settings: Mapping[str, Any]) -> ModelConfig:
    """The model's settings: its preset, overridden by `settings`."""
    entry = entry_of(name)
    try:
        return entry.model.Config(**{**entry.preset, **settings})
    except ValidationError as fault:
        raise ConfigError(readable(fault, f"model {name}")) from fault


def build(name: str, settings: Mapping[str, Any], sizes: Sizes) -> Model:
    """A new, unfitted model from settings."""
    return make(name, config_of(name, settings), sizes)


def make(name: str, config: ModelConfig, sizes: Sizes) -> Model:
    """A new, unfitted model that goes by its registered name (a variant by the variant's)."""
    model = entry_of(name).model(config, sizes)
    model.name = name
    return model


def readable(fault: ValidationError, what: str) -> str:
    """A pydantic complaint as one sentence a setting."""
    lines = []
    for error in fault.errors():
        key = ".".join(str(part) for part in error["loc"])
        lines.append(f"setting {key!r} of {what}: got {error['input']!r}; {error['msg']}.")
    return " ".join(lines)
